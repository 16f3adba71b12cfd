"""From a run in MLflow back to its model, after other data took its place; as docs/tracking.md says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stages import publish
from tests.helpers.mlflow_runs import parents
from tests.helpers.projects import copy_project, run

DOWNLOAD = ("-m", "mlflow", "artifacts", "download")


@pytest.mark.exhaustive
@pytest.mark.pipeline
def test_a_nightly_run_on_other_data_leaves_the_way_to_the_model_before(
    finished_project: Path, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_project(finished_project, tmp_path / "project")
    shutil.copy(empty_database, project / "mlflow.db")
    monkeypatch.chdir(project)
    model = Path("models/final/model.safetensors")
    night = model.read_bytes()
    publish.main()
    (first,) = parents()
    recipe = Path("data/digits/scenes.yaml")
    recipe.write_text(recipe.read_text().replace("fall: 2", "fall: 3"))
    ended = run(project, "-m", "bmix", "repro")
    assert ended.returncode == 0, ended.stdout
    publish.main()
    assert model.read_bytes() != night
    (second,) = [each for each in parents() if each.info.run_id != first.info.run_id]
    assert second.info.run_name == f"{first.info.run_name} · data {second.data.tags['bmix.data_digest'][:6]}"
    assert first.data.params == second.data.params
    assert first.data.tags["bmix.code_digest"] == second.data.tags["bmix.code_digest"]
    assert first.info.lifecycle_stage == "active"

    wanted = ("--run-id", first.info.run_id, "--artifact-path", "dvc.lock", "--dst-path", ".")
    got = run(project, *DOWNLOAD, *wanted, MLFLOW_TRACKING_URI="sqlite:///mlflow.db")
    assert got.returncode == 0, got.stdout
    back = run(project, "-m", "dvc", "checkout", "--force")
    assert back.returncode == 0, back.stdout
    assert model.read_bytes() == night
    assert f"md5: {first.data.tags['bmix.model_md5']}" in Path("dvc.lock").read_text()
