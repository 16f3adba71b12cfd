"""`python -m tests.chaos.postgres`: Prefect's and MLflow's servers on PostgreSQL, and a night against them.

Makes a PostgreSQL of its own in a temporary folder, on a free port of this machine, with a password; needs Debian's
package postgresql and the extra `postgres`. Prints what the two databases hold after the night.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bmix.retraining.history import read_nights
from tests.helpers.daemons import HOST, free_port, mlflow_daemon, prefect_daemon
from tests.helpers.nights import make_growing_project
from tests.helpers.projects import HANG_SECONDS

DATABASES = ("prefect", "mlflow")


@dataclass(frozen=True)
class Postgres:
    """Where a PostgreSQL listens, and its password."""

    port: int
    password: str

    def address(self, driver: str, database: str) -> str:
        """The address that SQLAlchemy takes."""
        return f"postgresql+{driver}://bmix:{self.password}@{HOST}:{self.port}/{database}"

    def ask(self, database: str, query: str) -> str:
        """What a query answers, as text."""
        command = ["psql", "--no-psqlrc", "-At", "-h", HOST, "-p", str(self.port), "-U", "bmix", "-d", database]
        environment = os.environ | {"PGPASSWORD": self.password}
        done = subprocess.run(
            [*command, "-c", query], env=environment, check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout.strip()


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """A PostgreSQL with its data in `folder`, run by the user postgres if root runs this."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb") or (programs and str(programs[-1] / "initdb"))
    if not found:
        raise SystemExit("error: PostgreSQL is not installed: apt-get install postgresql")
    server = Postgres(free_port(), secrets.token_urlsafe(12))
    folder.mkdir(mode=0o700)
    as_user = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        folder.parent.chmod(0o755)
        as_user = ["runuser", "-u", "postgres", "--"]
    password = folder.with_suffix(".password")
    password.write_text(server.password, encoding="utf-8")

    def run(program: str, *arguments: str) -> None:
        command = [*as_user, str(Path(found).with_name(program)), *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=HANG_SECONDS)

    run("initdb", "-D", str(folder / "data"), "-U", "bmix", "--auth=scram-sha-256", f"--pwfile={password}")
    password.unlink()
    options = f"-c listen_addresses={HOST} -p {server.port} -k {folder}"
    run("pg_ctl", "-D", str(folder / "data"), "-l", str(folder / "log"), "-w", "-o", options, "start")
    try:
        for name in DATABASES:
            server.ask("postgres", f"CREATE DATABASE {name}")
        yield server
    finally:
        run("pg_ctl", "-D", str(folder / "data"), "-m", "fast", "-w", "stop")


def main(folder: Path) -> None:
    """A night against servers on PostgreSQL, in a new project in `folder`."""
    make_growing_project(folder, 300)
    os.chdir(folder)
    with postgres(folder.parent / "postgres") as database:
        prefect, api = prefect_daemon(
            folder, PREFECT_API_DATABASE_CONNECTION_URL=database.address("asyncpg", "prefect")
        )
        mlflow, address = mlflow_daemon(folder / "tracking", database.address("psycopg2", "mlflow"))
        environment = {**os.environ, "PREFECT_HOME": str(folder / ".prefect")}
        environment |= {"PREFECT_API_URL": api, "MLFLOW_TRACKING_URI": address}
        try:
            prefect.start()
            mlflow.start()
            command = [sys.executable, "-m", "flows.retrain", "--once"]
            for _ in range(2):
                subprocess.run(command, env=environment, check=True, timeout=HANG_SECONDS)
        finally:
            mlflow.stop()
            prefect.stop()
        print("history: " + ", ".join(night.result for night in read_nights()))
        print(f"PostgreSQL: {database.ask('prefect', 'SHOW server_version')}")
        states = "SELECT string_agg(state_name, ', ' ORDER BY start_time) FROM flow_run"
        print(f"Prefect's database: flow runs {database.ask('prefect', states)}")
        runs = "SELECT count(*) || ' runs, ' || (SELECT count(*) FROM latest_metrics) || ' metrics' FROM runs"
        print(f"MLflow's database: {database.ask('mlflow', runs)}")
        alias = "SELECT alias || ' is version ' || version FROM registered_model_aliases"
        print(f"MLflow's registry: {database.ask('mlflow', alias)}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bmix-postgres-") as temporary:
        main(Path(temporary) / "project")
