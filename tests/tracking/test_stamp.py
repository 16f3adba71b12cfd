"""When publish has nothing to do, how soon it knows, and that it never says so of a record that is not there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmix.tracking.destination import Destination, destination
from bmix.tracking.stamp import STAMP, SentRuns, is_current, parent_of, write_stamp
from stages import publish
from tests.helpers.mlflow_runs import all_runs, children, client, parents
from tests.helpers.servers import serving
from tests.helpers.tracked import write_lock

SENT = SentRuns("7", "a" * 32, ["b" * 32, "c" * 32])


@pytest.mark.pipeline
def test_current_stamp_ends_before_any_heavy_import(recorded: Path) -> None:
    publish.main()
    code = (
        "import sys; from stages import publish; publish.main();"
        "print(sorted({'mlflow', 'pandas', 'torch', 'numpy', 'pydantic', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"MLflow record up to date at sqlite:///{recorded}/mlflow.db", "[]"]


@pytest.mark.pipeline
def test_stamp_is_current_until_something_changes(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parent_of(recorded, destination()) is None
    publish.main()
    (parent,) = parents()
    assert parent_of(recorded, destination()) == parent.info.run_id
    with Path("params.yaml").open("a") as params:
        params.write("# a comment changes nothing\n")
    lock, words = Path("dvc.lock").read_text(), Path("params.yaml").read_text()
    Path("dvc.lock").write_text(f"{lock}  publish:\n    cmd: python -m stages.publish\n")
    assert is_current(destination())
    Path("params.yaml").write_text(words.replace("epsilon: 0.975", "epsilon: 0.9"))
    assert not is_current(destination())
    Path("params.yaml").write_text(words)
    assert is_current(destination())
    write_lock(recorded, train=1)
    assert not is_current(destination())
    assert parent_of(recorded, destination()) is None
    Path("dvc.lock").write_text(lock)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        with monkeypatch.context() as other:
            other.setenv(name, "http://127.0.0.1:9")
            assert not is_current(destination())


def _delete(run_id: Callable[[], str]) -> Callable[[Path], None]:
    return lambda _: client().delete_run(run_id())


def _experiment(do: Callable[[Any, str], None]) -> Callable[[Path], None]:
    return lambda _: do(client(), all_runs()[0].info.experiment_id)


LOSSES: dict[str, Callable[[Path], Any]] = {
    "the parent": _delete(lambda: parents()[0].info.run_id),
    "a child": _delete(lambda: children(parents()[0])["noise"].info.run_id),
    "the experiment": _experiment(lambda mlflow, number: mlflow.delete_experiment(number)),
    "its name": _experiment(lambda mlflow, number: mlflow.rename_experiment(number, "of last year")),
    "the content of the database": lambda empty: shutil.copy(empty, "mlflow.db"),
    "the artifacts": lambda _: shutil.rmtree("mlartifacts"),
}


@pytest.mark.pipeline
def test_a_record_that_lost_something_is_not_up_to_date(
    recorded: Path, empty_database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish.main()
    for lost, lose in LOSSES.items():
        assert is_current(destination()), lost
        lose(empty_database)
        assert not is_current(destination()), lost
        publish.main()
        told = capsys.readouterr()
        assert "up to date" not in told.out, lost
        assert not told.err, lost
    assert is_current(destination())
    # This process has the database open, and would go on with a file that is gone: no record is sent again here.
    Path("mlflow.db").write_bytes(b"")
    assert not is_current(destination())
    Path("mlflow.db").unlink()
    assert not is_current(destination())


@pytest.mark.parametrize("content", ["", "[]", '{"sent": 5}', '{"sent": {"experiment": 1, "parent": "x"}}', "\0"])
def test_a_stamp_that_cannot_be_read_is_not_current(project: Path, content: str) -> None:
    STAMP.parent.mkdir()
    STAMP.write_text(content)
    assert not is_current(destination())


def _server_with(experiment: dict[str, Any], runs: set[str]) -> Callable[[str], tuple[int, Any]]:
    answers = {
        "/api/2.0/mlflow/experiments/get": {"experiment": {"name": "bmix", "lifecycle_stage": "active", **experiment}},
        "/api/2.0/mlflow/runs/search": {"runs": [{"info": {"run_id": run}} for run in runs]},
    }
    return lambda path: (200, answers[path])


@pytest.mark.parametrize(
    ("answer", "there"),
    [
        (_server_with({}, SENT.runs), True),
        (_server_with({}, SENT.runs - {SENT.parent}), False),
        (_server_with({}, set()), False),
        (_server_with({"name": "other"}, SENT.runs), False),
        (_server_with({"lifecycle_stage": "deleted"}, SENT.runs), False),
        (lambda _: (404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}), False),
        (lambda _: (200, ["no", "object"]), False),
        (lambda _: (401, "who are you?"), False),
    ],
)
def test_a_server_is_asked_for_the_runs(
    project: Path, answer: Callable[[str], tuple[int, Any]], there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".mlflow").mkdir()
    (project / ".mlflow" / "credentials").write_text("[mlflow]\nmlflow_tracking_username = ann\n")
    monkeypatch.setenv("HOME", str(project))
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "päss")
    with serving(answer) as server:
        target = Destination(f"{server.address}/", "bmix", None)
        write_stamp(target, SENT)
        assert is_current(target) is there
    assert server.paths[0] == "/api/2.0/mlflow/experiments/get?experiment_id=7"
    assert {headers["Authorization"] for headers in server.headers} == {"Basic YW5uOnDDpHNz"}


def test_a_server_that_does_not_answer_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    write_stamp(destination(), SENT)
    publish.main()
    told = capsys.readouterr()
    assert "up to date" not in told.out
    assert "not up to date: ConnectionRefusedError: [Errno 111] Connection refused" in told.err
