"""The real command, from a source's published layout to the result: every preset, and the sources without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.coco import write_coco
from tests.helpers.deepfashion import write_fine
from tests.helpers.features import write_npz
from tests.helpers.folder import write_folder
from tests.helpers.projects import make_project, run
from tests.helpers.voc import write_voc_devkit

# The preset decides source, network, recipe and evaluation; what is left to a miniature is size and length.
MINIATURE = (
    "data.image_size=32",
    "model.weights=none",
    "training.epochs=2",
    "training.warmup_epochs=1",
    "training.batch_size=16",
    "evaluate.curve_points=10",
)


def write_paper_voc(folder: Path) -> list[str]:
    write_voc_devkit(folder, train=20, val=20, test=20)
    return ["paper-voc", "clean", f"data.path={folder}/VOCdevkit", f"data.root={folder}/VOCdevkit"]


def write_paper_coco(folder: Path) -> list[str]:
    write_coco(folder)
    return ["paper-coco", "single-positive", f"data.path={folder}/annotations", f"data.root={folder}"]


def write_paper_deepfashion(folder: Path) -> list[str]:
    write_fine(folder, images=48)
    return ["paper-deepfashion", f"data.path={folder}", f"data.root={folder}"]


def write_class_folders(folder: Path) -> list[str]:
    write_folder(folder, images=60)
    places = ["data.source=folder", f"data.path={folder}", f"data.root={folder}"]
    return [*places, "noise.kind=missing", "noise.rate=0.2", "model.head=mlp"]


def write_features(folder: Path) -> list[str]:
    path = write_npz(folder / "set.npz")
    places = ["data.source=features", f"data.path={path}", f"data.root={folder}"]
    return [*places, "model.backbone=identity", "noise.rate=0.1"]


@pytest.mark.pipeline
@pytest.mark.parametrize(
    "write",
    [
        pytest.param(write_features, marks=pytest.mark.exhaustive),
        pytest.param(write_paper_voc, marks=pytest.mark.exhaustive),
        pytest.param(write_paper_coco, marks=pytest.mark.exhaustive),
        pytest.param(write_paper_deepfashion, marks=pytest.mark.exhaustive),
        pytest.param(write_class_folders, marks=pytest.mark.exhaustive),
    ],
)
def test_a_source_goes_through_the_whole_pipeline(tmp_path: Path, write: Callable[[Path], list[str]]) -> None:
    project = make_project(tmp_path / "project")
    edits = write(project / "data/mine")
    edits = [edit.replace(f"{project}/", "") for edit in edits]
    done = run(project, "-m", "bmix", "repro", "--set", *edits, *MINIATURE)
    assert done.returncode == 0, done.stdout
    (copy,) = (project / ".bmix/runs").iterdir()
    metrics = json.loads((copy / "metrics.json").read_text(encoding="utf-8"))
    assert 0 < metrics["mAP"]["all"] <= 1
    facts = json.loads((copy / "data/prepared/facts.json").read_text(encoding="utf-8"))
    assert facts["images"]["train"] > 0
    assert (copy / "data/prepared/classes.png").stat().st_size > 0
    again = run(project, "-m", "bmix", "repro", "--set", *edits, *MINIATURE)
    assert again.returncode == 0, again.stdout
    assert "Running stage" not in again.stdout.replace("Running stage 'publish'", "")
