"""What is told where the record cannot be sent: the fault, no secret, and a remedy that fits."""

from __future__ import annotations

import errno
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bmix.tracking.destination import Destination, destination
from bmix.tracking.faults import reason, remedy
from bmix.tracking.reach import UnusableError, check_reachable
from bmix.tracking.stamp import STAMP
from stages import publish
from tests.helpers.mlflow_runs import parents
from tests.helpers.servers import serving
from tests.helpers.tracked import write_project

A_HANG = 1800
DEAD_SERVER = "http://ann:hunter2@127.0.0.1:9"


def warning(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr().err
    assert told.startswith("warning: MLflow record at ")
    assert "hunter2" not in told
    assert not STAMP.exists()
    return told


@pytest.mark.parametrize(
    ("uri", "fault", "advice"),
    [
        (DEAD_SERVER, "ConnectionRefusedError: [Errno 111]", "mlflow server --host 127.0.0.1 --port 9"),
        ("http://127.0.0.1:9/?token=hunter2", "ConnectionRefusedError", "mlflow server --host 127.0.0.1 --port 9"),
        ("localhost:5000", "no http:// before the host", "set MLFLOW_TRACKING_URI=http://localhost:5000"),
        ("ann:hunter2@localhost:5000", "no http:// before", "set MLFLOW_TRACKING_URI=http://***@localhost:5000"),
        ("http://ann:hunt/hunter2@127.0.0.1:9", "cannot be taken apart", "write / as %2F"),
        ("http://ann:hunt#hunter2@127.0.0.1:9", "cannot be taken apart", "# as %23"),
        ("http:/127.0.0.1:9", "cannot be taken apart", "set MLFLOW_TRACKING_URI=http://HOST:PORT"),
        ("http://127.0.0.1:99999", "", "correct MLFLOW_TRACKING_URI"),
        ("sqlite:////srv/a?b/runs.db", "the path holds a ?", "keep the database in a folder without a ?"),
    ],
)
def test_an_address_that_cannot_be_reached(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    uri: str,
    fault: str,
    advice: str,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    publish.main()
    told = warning(capsys)
    assert f"not up to date: {fault}" in told
    assert advice in told.splitlines()[1]
    assert told.splitlines()[2].startswith("  then run `python -m stages.publish`; to do without the record: BMIX_")


@pytest.mark.pipeline
@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "log in to the server: set MLFLOW_TRACKING_USERNAME"),
        (403, "ask for the right to write to the experiment"),
        (404, "what answers there is no MLflow server"),
        (500, "look at the server's log"),
    ],
)
def test_a_server_that_refuses(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int, advice: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with serving(lambda path: (200, "OK") if path == "/health" else (status, "no")) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        publish.main()
    assert advice in warning(capsys).splitlines()[1]


@pytest.mark.pipeline
def test_a_database_of_another_mlflow(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for version, advice in {
        "451aebb31d03": f"cp {recorded}/mlflow.db {recorded}/mlflow.db.before && ",
        "ffffffffffff": "the database is of a newer MLflow: python -m pip install --upgrade mlflow",
    }.items():
        with closing(sqlite3.connect("mlflow.db")) as database, database:
            database.execute("UPDATE alembic_version SET version_num = ?", (version,))
        command = [sys.executable, "-m", "stages.publish"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        assert "Detected out-of-date database schema" in told
        assert advice in told.splitlines()[1]


@pytest.mark.pipeline
def test_a_folder_is_refused_as_mlflow_refuses_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlflow.example.org")
    publish.main()
    advice = "set MLFLOW_TRACKING_URI=sqlite:///mlflow.db, or http://mlflow.example.org if that is a server"
    assert advice in warning(capsys).splitlines()[1]


def test_locked_database(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("bmix.tracking.reach._SECONDS_TO_LOCK", 0.1)
    with closing(sqlite3.connect("mlflow.db")) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        publish.main()
    told = warning(capsys)
    assert "mlflow.db: database is locked" in told
    assert "wait until the other process has ended" in told.splitlines()[1]


def test_file_that_is_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "it's here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_project(folder)
    Path("mlflow.db").write_text("not a database, and long enough to be looked at as one" * 100)
    publish.main()
    told = warning(capsys)
    assert "file is not a database" in told
    _, command = told.splitlines()[1].split("move the file away: ")
    assert shlex.split(command) == ["mv", f"{folder}/mlflow.db", f"{folder}/mlflow.db.damaged"]


def test_the_remedy_in_a_copy_starts_from_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = project / ".bmix" / "runs" / "seed 7_5d0c6a1f"
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns(".bmix"))
    monkeypatch.chdir(copy)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD_SERVER)
    publish.main()
    assert "run `cd '.bmix/runs/seed 7_5d0c6a1f' && python -m stages.publish`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2"), "python -m pip install psycopg2-binary"),
        (ModuleNotFoundError("No module named 'pymysql'", name="pymysql"), "python -m pip install pymysql"),
        (OSError(errno.ENOSPC, "No space left on device"), "make room on the disk"),
        (PermissionError(13, "Permission denied", "/srv/mlartifacts"), "get the right to write to /srv/mlartifacts"),
        (FileExistsError(17, "File exists", "mlartifacts"), "move mlartifacts away"),
        (TimeoutError("mlartifacts/.lock is held by another process"), "wait until the other process has ended"),
        (RuntimeError("(sqlite3.OperationalError) database or disk is full"), "make room on the disk"),
        (RuntimeError("attempt to write a readonly database"), "get the right to write to '/srv/a b/runs.db'"),
        (RuntimeError("Can't load plugin: sqlalchemy.dialects:postgres"), "postgresql://HOST/NAME"),
        (RuntimeError("[SSL: CERTIFICATE_VERIFY_FAILED]"), "MLFLOW_TRACKING_SERVER_CERT_PATH=FILE"),
        (RuntimeError("please install databricks-sdk"), "python -m pip install databricks-sdk"),
        (RuntimeError("something new"), "correct MLFLOW_TRACKING_URI"),
    ],
)
def test_remedies(error: Exception, advice: str) -> None:
    outer = RuntimeError("API request failed")
    outer.__cause__ = error
    target = Destination("sqlite:////srv/a b/runs.db", "bmix", None)
    assert advice in remedy(error, target)
    assert advice in remedy(outer, target)


def test_a_circle_of_causes_has_an_end() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert remedy(first, Destination("databricks", "bmix", None)) == "correct MLFLOW_TRACKING_URI"


def test_a_proxy_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Destination("http://tracking.invalid:5000/team", "bmix", None)
    with serving(lambda _: (200, "OK")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.address.replace("://", "://ann:hunter2@"))
        check_reachable(target)
        assert proxy.paths == ["http://tracking.invalid:5000/team/health"]
    with serving(lambda _: (407, "who are you?")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.address)
        with pytest.raises(OSError, match="answers 407") as refused:
            check_reachable(target)
        assert "add the server's host to NO_PROXY" in remedy(refused.value, target)
    monkeypatch.setenv("HTTP_PROXY", "http://ann:hunter2@127.0.0.1:9")
    with pytest.raises(OSError, match="Connection refused") as down:
        check_reachable(target)
    assert "hunter2" not in reason(down.value, target)
    assert "correct HTTP_PROXY and HTTPS_PROXY" in remedy(down.value, target)
    with serving(lambda _: (200, "OK")) as server:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        check_reachable(Destination(server.address, "bmix", None))


def test_a_server_of_plain_http_called_by_https() -> None:
    with serving(lambda _: (200, "OK")) as server:
        target = Destination(server.address.replace("http", "https"), "bmix", None)
        with pytest.raises(OSError, match="SSL") as refused:
            check_reachable(target)
        assert (
            remedy(refused.value, target) == f"the server speaks plain http: set MLFLOW_TRACKING_URI={server.address}"
        )


def test_a_server_that_is_ill_is_told_before_mlflow_is_imported() -> None:
    with serving(lambda _: (503, "later")) as server:
        target = Destination(server.address, "bmix", None)
        with pytest.raises(ConnectionError, match="answers 503 Service Unavailable") as refused:
            check_reachable(target)
    assert "look at the server's log" in remedy(refused.value, target)


def test_addresses_that_are_in_order(tmp_path: Path) -> None:
    for uri in ("http://[::1]:9", "http://127.0.0.1:9/team", "http://ann:hun%2Fter2@127.0.0.1:9", "HTTP://127.0.0.1:9"):
        with pytest.raises(OSError, match=r"refused|unreachable|assign") as refused:
            check_reachable(Destination(uri, "bmix", None))
        assert not isinstance(refused.value, UnusableError)
    for uri in ("databricks", "postgresql://127.0.0.1/runs", f"sqlite:///{tmp_path}/mlflow.db"):
        check_reachable(Destination(uri, "bmix", None))


@pytest.mark.pipeline
def test_an_experiment_of_another_project_is_not_written_to(recorded: Path) -> None:
    from bmix.tracking.runs import connect, ensure_experiment

    publish.main()
    assert parents()
    own = destination()
    other = Destination(own.uri, own.experiment, recorded.parent / "other" / "mlartifacts")
    with pytest.raises(UnusableError, match=r"keeps its artifacts in .*, the folder of another project") as refused:
        ensure_experiment(connect(own), other)
    assert refused.value.remedy == "name an experiment of this project's own: MLFLOW_EXPERIMENT_NAME=other"


def test_a_stream_that_shows_little_or_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "stages.publish"]
    environment = {"MLFLOW_TRACKING_URI": "http://ann:hunter2@127.0.0.1:9/é±", "PYTHONIOENCODING": "ascii:strict"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.startswith("warning: MLflow record at http://***@127.0.0.1:9/\\xe9+/- not up to date")
    assert subprocess.run(f"{shlex.join(command)} 2>&- >&-", shell=True, timeout=A_HANG).returncode == 0
