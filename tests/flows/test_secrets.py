"""Secrets of the environment: a night that has them, and libraries that repeat them, leaves them nowhere."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from prefect.states import Completed

from bmix.retraining.history import FAILED, PROMOTED, read_nights
from flows.night import night
from flows.pipeline import run_stage
from tests.helpers.projects import copy_project, failing_stage
from tests.tracking.test_server import free_port, tracking_server

PLANTED = "planted-"
SECRETS = {
    "MLFLOW_TRACKING_USERNAME": "somebody",
    "MLFLOW_TRACKING_PASSWORD": f"{PLANTED}password",
    "AWS_SECRET_ACCESS_KEY": f"{PLANTED}key/with+signs=",
    "NIGHTS_WEBHOOK_URL": f"https://hooks.example.org/services/{PLANTED}hook",
    "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://bmix:{PLANTED}database@127.0.0.1/prefect",
}
TELLING = """
import os

print(*(f"{name}={value}" for name, value in os.environ.items()), flush=True)
"""
"""Put into a stage, has it print its environment."""


def files_with_secrets(*folders: Path) -> list[str]:
    """The files below the folders that hold a planted secret, in their name or bytes."""
    return [
        str(path)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and PLANTED.encode() in path.read_bytes() + str(path.relative_to(folder)).encode()
    ]


@pytest.fixture
def prefect_database(prefect_server: None) -> Path:
    from prefect.settings import get_current_settings

    url = get_current_settings().server.database.connection_url
    assert url is not None
    return Path(unquote(url.get_secret_value().partition(":///")[2]))


@pytest.fixture
def tracked_address(tmp_path: Path, empty_database: Path) -> Iterator[str]:
    with tracking_server(tmp_path / "server", free_port(), empty_database) as address:
        yield address


@pytest.fixture
def project(finished_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose next candidate is finished but for the stages that tell what they should not.

    All stages run by the same code, which takes seconds for each to find that it has nothing to do.
    """
    folder = copy_project(finished_project, tmp_path / "project")
    run = copy_project(finished_project, folder / ".bmix/runs/night-a")
    # A candidate's inputs are links.
    for inputs in ("digits", "noise"):
        shutil.rmtree(run / "data" / inputs)
    monkeypatch.chdir(folder)

    def run_telling(stage: str, *arguments: Any, **options: Any) -> Any:
        return run_stage(stage, *arguments, **options) if stage in ("prepare", "publish") else Completed()

    monkeypatch.setattr("flows.night.run_stage", run_telling)
    return folder


@pytest.mark.pipeline
def test_a_planted_secret_is_in_no_file_that_nights_write(
    project: Path,
    prefect_database: Path,
    tracked_address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    address = tracked_address.replace("://", f"://bmix:{PLANTED}address@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    names = [*SECRETS, "MLFLOW_TRACKING_URI"]

    # A stage that tells its environment, and one that fails with it.
    publish = project / "stages/publish.py"
    first, rest = publish.read_text(encoding="utf-8").split("from __future__ import annotations\n")
    publish.write_text(f"{first}from __future__ import annotations\n{TELLING}{rest}", encoding="utf-8")
    assert night(return_state=True).name == "Promoted"
    repeated = f"raise ValueError('no answer: ' + ' '.join(__import__('os').environ[name] for name in {names}))"
    (project / "stages/prepare.py").write_text(failing_stage("prepare", repeated), encoding="utf-8")
    assert night(return_state=True).name == "Failed"

    assert [record.result for record in read_nights()] == [PROMOTED, FAILED]
    assert "no answer: somebody ***" in read_nights()[1].reason
    for handler in logging.getLogger("prefect.flow_runs").handlers:
        handler.flush()
    assert files_with_secrets(project, tmp_path / "server", prefect_database.parent) == []
    assert "AWS_SECRET_ACCESS_KEY=***" in caplog.text
    assert PLANTED not in caplog.text
