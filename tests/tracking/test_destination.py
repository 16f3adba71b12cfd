"""Where the record goes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

import pytest

from bmix.tracking.destination import Destination, destination
from bmix.tracking.stamp import is_current
from stages import publish
from tests.helpers.mlflow_runs import parents
from tests.helpers.tracked import write_project

ALL_SIGNS = "a?b #1 100%20 'x' é 猫 & c=d"


@pytest.mark.parametrize(
    ("uri", "expected", "artifacts"),
    [
        (None, "sqlite:///{root}/mlflow.db", "{root}/mlartifacts"),
        ("sqlite:///shared/runs.db", "sqlite:///{root}/shared/runs.db", "{root}/shared/mlartifacts"),
        ("records/runs", "{root}/records/runs", "{root}/mlartifacts"),
        ("databricks", "databricks", None),
        ("sqlite:////srv/runs.db", "sqlite:////srv/runs.db", "/srv/mlartifacts"),
        (
            "sqlite:////srv/runs.db?timeout=5&uri=false",
            "sqlite:////srv/runs.db?timeout=5&uri=false",
            "/srv/mlartifacts",
        ),
        ("sqlite:///../runs.db", "sqlite:///{root.parent}/runs.db", "{root.parent}/mlartifacts"),
        ("sqlite:///file:/srv/a%3Fb.db?uri=true", "sqlite:///file:/srv/a%3Fb.db?uri=true", "/srv/mlartifacts"),
        ("sqlite:///:memory:", "sqlite:///:memory:", "{root}/mlartifacts"),
        ("https://example.org", "https://example.org", None),
        (" HTTP://example.org ", "HTTP://example.org", None),
        ("postgresql://example.org/runs", "postgresql://example.org/runs", "{root}/mlartifacts"),
    ],
)
def test_destination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str | None, expected: str, artifacts: str | None
) -> None:
    monkeypatch.setenv("BMIX_HOME", str(tmp_path / ".bmix"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri or "")
    target = destination()
    assert target.uri == expected.format(root=tmp_path)
    assert target.artifacts == (Path(artifacts.format(root=tmp_path)) if artifacts else None)


def test_a_copy_of_the_project_is_known_without_being_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BMIX_HOME", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    copy = tmp_path / ".bmix" / "runs" / "seed-7_5d0c6a1f"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert destination().database == tmp_path / "mlflow.db"


@pytest.mark.pipeline
def test_copy_writes_to_the_record_of_the_original(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = write_project(recorded / ".bmix/runs/1", "training.seed=3")
    monkeypatch.setenv("BMIX_HOME", str(recorded / ".bmix"))
    monkeypatch.chdir(copy)
    publish.main()
    assert is_current(destination())
    assert not (copy / "mlflow.db").exists()
    assert parents()[0].info.run_name.endswith("seed 3, noise seed 0")


def test_sqlite_file() -> None:
    places = {"/srv/runs.db?timeout=5": "/srv/runs.db", "file:/srv/a%3Fb.db?uri=true": "/srv/a?b.db", ":memory:": None}
    for place, file in places.items():
        target = Destination(f"sqlite:///{place}", "bmix", None)
        assert target.database == (None if file is None else Path(file))
        assert not target.misread


def test_a_database_in_a_folder_with_a_question_mark_is_named_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / ALL_SIGNS / ".bmix" / "runs" / "seed-7_5d0c6a1f"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    target = destination()
    assert (target.uri, target.misread) == ("sqlite:///../../../mlflow.db", False)
    assert target.database is not None
    assert target.database.resolve() == tmp_path / ALL_SIGNS / "mlflow.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/{ALL_SIGNS}/mlflow.db")
    assert destination().misread


@pytest.mark.pipeline
def test_the_name_of_the_folder_does_not_matter(tmp_path: Path) -> None:
    folder = tmp_path / ALL_SIGNS
    folder.mkdir()
    write_project(folder)
    for told in ("MLflow record of balancemix", "MLflow record up to date at sqlite:///mlflow.db"):
        command = [sys.executable, "-m", "stages.publish"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        assert (done.stdout[: len(told)], done.stderr) == (told, "")
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        places = [place for (place,) in database.execute("SELECT artifact_uri FROM runs")]
    assert {unquote(place).removeprefix(f"file://{folder}/mlartifacts/runs/")[32:] for place in places} == {
        "/artifacts"
    }
    assert len(list((folder / "mlartifacts" / "runs").glob("*/artifacts/report.html"))) == 2
