"""`python -m tests.chaos.nights [--served SECONDS]`: a week of nights on tiny data, with all that may happen to them.

New rows, nothing new, a bad batch, bad labels behind a gate that is off, a night by hand beside another one, a kill, a
rollback: nights by `flows.retrain --once`, or with --served on a schedule of a Prefect server of their own. What is
served is compared byte for byte around every night that must not change it. Prints the table for docs/retraining.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from bmix.retraining.history import BY_DATA, BY_MODEL, CANCELLED, DIED, NOTHING_NEW, PROMOTED, NightRecord, read_nights
from bmix.support.files import read_json
from tests.helpers.nights import make_growing_project, write_rows
from tests.helpers.projects import HANG_SECONDS
from tests.helpers.tiny import write_params

HOST = "127.0.0.1"
QUIET = (NOTHING_NEW, CANCELLED)
"""Results of nights that a schedule may put between two others."""


@dataclass
class Week:
    """The project, how its nights are started, and what came of them."""

    folder: Path
    environment: dict[str, str]
    served: float
    rows: list[tuple[str, NightRecord]] = field(default_factory=list)

    def night(self, before: str, expected: str, *edits: str, meanwhile: Callable[[], None] | None = None) -> None:
        """One night, and the lines that the history has after it; SystemExit unless one of them is the expected result.

        meanwhile: called while a candidate is being trained.
        """
        served = self._served_files()
        known = len(read_nights())
        process = None if self.served else self.start(*edits)
        if meanwhile:
            self._wait("a stage that trains", self._trains)
            meanwhile()
        if process is not None:
            process.wait(HANG_SECONDS)
        self._wait(f"the result {expected}", lambda: any(one.result == expected for one in read_nights()[known:]))
        if process is None:
            self._wait("an idle schedule", lambda: not Path(".bmix/retraining/working.json").exists())
        for number, record in enumerate(read_nights()[known:]):
            self.note(before if not number else "", record)
        found = [record.result for record in read_nights()[known:]]
        if wrong := [result for result in found if result not in (expected, *QUIET, DIED)]:
            raise SystemExit(f"error: {before}: {', '.join(wrong)}, not {expected}")
        if expected != PROMOTED and served != self._served_files():
            raise SystemExit(f"error: {before}: a night that was {expected} changed what is served")

    def note(self, before: str, record: NightRecord) -> None:
        """Add a line to the table."""
        self.rows.append((before, record))
        print(
            f"{record.night[11:19]}  {record.result:24}  v{record.version}  {record.seconds:6.1f} s  {before}",
            flush=True,
        )

    def start(self, *edits: str) -> subprocess.Popen[bytes]:
        """A night by hand."""
        command = [sys.executable, "-m", "flows.retrain", "--once", *(["--set", *edits] if edits else [])]
        with Path("nights.log").open("ab") as log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=subprocess.STDOUT)

    def beside(self) -> None:
        """Start another night by hand, which has to end by itself."""
        if self.start().wait(HANG_SECONDS) == 0:
            raise SystemExit("error: a night beside another one was not cancelled")

    def kill(self) -> None:
        """Kill the process of the night, as a power cut would, but for DVC and its stage, which live on."""
        os.kill(int(read_json(Path(".bmix/retraining/working.json"))["process"]), signal.SIGKILL)

    def _trains(self) -> bool:
        """Whether a stage that trains is at work in a candidate's copy."""
        for process in psutil.process_iter():
            try:
                if "stages.warmup" in process.cmdline() and Path(process.cwd()).parent == self.folder / ".bmix/runs":
                    return True
            except psutil.Error:
                continue
        return False

    def _served_files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(Path("models/champion").glob("*")) if path.is_file()}

    def _wait(self, what: str, there: Callable[[], bool]) -> None:
        end = time.monotonic() + HANG_SECONDS
        while not there():
            if time.monotonic() > end:
                raise SystemExit(f"error: {what} has not come in {HANG_SECONDS} s; see {self.folder}/nights.log")
            time.sleep(0.1)


def main(served: float, folder: Path) -> None:
    """A week of nights in a new project in `folder`, on a schedule of every `served` seconds if that is not 0."""
    make_growing_project(folder, 300)
    environment = {**os.environ, "PREFECT_HOME": str(folder / ".prefect"), "PREFECT_LOGGING_LEVEL": "INFO"}
    os.chdir(folder)
    with ExitStack() as stack:
        url = stack.enter_context(prefect_server(environment))
        week = Week(folder.resolve(), environment | {"PREFECT_API_URL": url}, served)
        if served:
            stack.enter_context(schedule(week))
        _nights(week)
        print(f"\n{table(week.rows)}\n")
        subprocess.run([sys.executable, "-m", "bmix", "models", "list"], check=True)
        _show_registry()


def _nights(week: Week) -> None:
    week.night("300 rows", PROMOTED)
    week.night("nothing", NOTHING_NEW)
    write_rows(week.folder, 450)
    week.night("150 new rows; another night by hand beside it", PROMOTED, meanwhile=week.beside)
    write_rows(week.folder, 560, shuffled=range(450, 560))
    week.night("110 new rows with shuffled labels", BY_DATA)
    write_rows(week.folder, 450, shuffled=range(450))
    _edit(week, "retrain.gate_data=false")
    week.night("all labels shuffled, data gate off", BY_MODEL)
    _edit(week)
    write_rows(week.folder, 600)
    week.night(
        "150 new rows; kill -9 of the night while it trains, then another night", PROMOTED, meanwhile=_killed(week)
    )
    known = len(read_nights())
    subprocess.run([sys.executable, "-m", "bmix", "models", "rollback"], check=True, env=week.environment)
    week.note("bmix models rollback", read_nights()[known])
    week.night("nothing", NOTHING_NEW)


def _killed(week: Week) -> Callable[[], None]:
    def kill() -> None:
        week.kill()
        if not week.served:
            week.start().wait(HANG_SECONDS)

    return kill


def _edit(week: Week, *edits: str) -> None:
    from tests.helpers.nights import EDITS

    write_params(week.folder, *EDITS, *edits)


def table(rows: list[tuple[str, NightRecord]]) -> str:
    """The nights as a table of Markdown."""
    lines = ["| what came before | result | served | mAP of candidate, champion | seconds | why |", "|" + " --- |" * 6]
    for before, one in rows:
        scores = [f"{100 * value:.1f}" if value is not None else "–" for value in (one.candidate_map, one.champion_map)]
        version = "–" if one.version is None else f"version {one.version}"
        reason = one.reason.partition("\n")[0]
        lines.append(f"| {before} | {one.result} | {version} | {', '.join(scores)} | {one.seconds:.0f} | {reason} |")
    return "\n".join(lines)


def _show_registry() -> None:
    """The aliases in MLflow's registry."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri="sqlite:///mlflow.db", registry_uri="sqlite:///mlflow.db")
    for alias in ("champion", "previous"):
        version = client.get_model_version_by_alias("bmix", alias)
        print(f"MLflow: {alias} is version {version.tags.get('bmix.version')}: {version.tags.get('bmix.reason')}")


@contextmanager
def prefect_server(environment: dict[str, str]) -> Iterator[str]:
    """The address of the API of a server of its own."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    own = environment | {"PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with Path("server.log").open("wb") as log:
        process = subprocess.Popen(command, env=own, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://{HOST}:{port}/api"
    try:
        end = time.monotonic() + HANG_SECONDS
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit("error: Prefect's server does not start; see server.log")
            time.sleep(0.5)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@contextmanager
def schedule(week: Week) -> Iterator[None]:
    """`python -m flows.retrain --interval` for as long as the block runs."""
    command = [sys.executable, "-m", "flows.retrain", "--interval", f"{week.served:g}"]
    with Path("nights.log").open("wb") as log:
        process = subprocess.Popen(command, env=week.environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--served", type=float, default=0, metavar="SECONDS", help="on a schedule of this interval")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="a new folder to keep the project in")
    given = parser.parse_args()
    if given.folder:
        main(given.served, given.folder.absolute())
    else:
        with tempfile.TemporaryDirectory(prefix="bmix-nights-") as temporary:
            main(given.served, Path(temporary) / "project")
