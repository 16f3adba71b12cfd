"""Where the record goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmix.tracking.destination import destination
from bmix.tracking.stamp import is_current
from stages import publish
from tests.helpers.mlflow_runs import parents
from tests.helpers.tracked import write_project


@pytest.mark.parametrize(
    ("uri", "expected", "artifacts"),
    [
        (None, "sqlite:///{root}/mlflow.db", "{root}/mlartifacts"),
        ("sqlite:///shared/runs.db", "sqlite:///{root}/shared/runs.db", "{root}/shared/mlartifacts"),
        ("records/runs", "{root}/records/runs", "{root}/mlartifacts"),
        ("databricks", "databricks", None),
        ("sqlite:////srv/runs.db", "sqlite:////srv/runs.db", "/srv/mlartifacts"),
        ("https://example.org", "https://example.org", None),
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
