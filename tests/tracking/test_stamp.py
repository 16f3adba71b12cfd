"""When publish has nothing to do, and how soon it knows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bmix.tracking.destination import destination
from bmix.tracking.stamp import is_current
from tests.helpers.tracked import write_lock

DEAD_SERVER = "http://127.0.0.1:9"


def test_current_stamp_ends_before_any_heavy_import(project: Path) -> None:
    from bmix.tracking.stamp import write_stamp

    Path("mlflow.db").touch()
    write_stamp(destination())
    code = (
        "import sys; from stages import publish; publish.main();"
        "print(sorted({'mlflow', 'pandas', 'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"MLflow record up to date at sqlite:///{project}/mlflow.db", "[]"]


@pytest.mark.parametrize("change", ["params", "lock", "uri", "experiment", "database"])
def test_stamp_is_current_until_something_changes(project: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    from bmix.tracking.stamp import write_stamp

    Path("mlflow.db").touch()
    write_stamp(destination())
    with Path("params.yaml").open("a") as params:
        params.write("# a comment changes nothing\n")
    lock = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(f"{lock}  publish:\n    cmd: python -m stages.publish\n")
    assert is_current(destination())
    if change == "params":
        Path("params.yaml").write_text(Path("params.yaml").read_text().replace("epsilon: 0.975", "epsilon: 0.9"))
    elif change == "lock":
        write_lock(project, train=1)
    elif change == "database":
        Path("mlflow.db").unlink()
    else:
        monkeypatch.setenv({"uri": "MLFLOW_TRACKING_URI", "experiment": "MLFLOW_EXPERIMENT_NAME"}[change], DEAD_SERVER)
    assert not is_current(destination())
