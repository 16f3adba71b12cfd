"""What is told where the record cannot be sent: the fault, no secret, and a remedy that fits."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from bmix.tracking.stamp import STAMP
from stages import publish

DEAD_SERVER = "http://user:secret@127.0.0.1:9"


def test_dead_server_is_a_warning_without_a_stamp(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD_SERVER)
    publish.main()
    told = capsys.readouterr().err
    assert told.startswith(
        "warning: the MLflow record at http://***@127.0.0.1:9 was not brought up to date: ConnectionRef"
    )
    assert "then run `python -m stages.publish`" in told
    assert "secret" not in told
    assert not STAMP.exists()


def test_locked_database_is_a_warning_without_a_stamp(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bmix.tracking.reach._SECONDS_TO_LOCK", 0.1)
    with sqlite3.connect("mlflow.db") as connection:
        connection.execute("BEGIN EXCLUSIVE")
        publish.main()
    assert "mlflow.db: database is locked" in capsys.readouterr().err
    assert not STAMP.exists()


def test_file_that_is_no_database_is_a_warning(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mlflow.db").write_text("not a database, and long enough to be looked at as one" * 100)
    publish.main()
    assert "file is not a database" in capsys.readouterr().err
    assert not STAMP.exists()


def test_the_remedy_in_a_copy_starts_from_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = project / ".bmix" / "runs" / "seed-7_5d0c6a1f"
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns(".bmix"))
    monkeypatch.chdir(copy)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD_SERVER)
    publish.main()
    assert "run `cd .bmix/runs/seed-7_5d0c6a1f && python -m stages.publish`" in capsys.readouterr().err
