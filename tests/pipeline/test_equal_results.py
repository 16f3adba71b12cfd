"""One result by every way to it: `dvc repro`, the flow, a library call, and a training that was killed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from flows.pipeline import pipeline
from tests.helpers.projects import ENVIRONMENT, copy_project, edit_params, run

pytestmark = pytest.mark.pipeline

TRAINED = [
    "models/final/model.json",
    "models/final/model.safetensors",
    *("verdicts.parquet", "verdicts.json", "history.csv", "mixtures.parquet", "sampler.csv"),
    "verdict_history.parquet",
]
OUTPUTS = [
    "data/prepared",
    "data/noisy",
    "data/audit",
    "models/warmup",
    *TRAINED,
    "models/final/calibration.json",
    "models/final/README.md",
    "metrics.json",
    "plots",
    "report.html",
]

# A stage is `python -m stages.X` to DVC: the Python of the environment that is active.
ACTIVE = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

LIBRARY_CALL = """
import sys
from pathlib import Path
from bmix.data.manifest import read_manifest
from bmix.data.noisy import read_labels
from bmix.params import load_params
from bmix.training.run import advance, build_trainer, write_outputs

params = load_params()
manifest = read_manifest(Path("data/prepared"))
_, given_NK, true_NK = read_labels(Path("data/noisy"), manifest)
trainer = build_trainer(params, manifest, given_NK, true_NK=true_NK)
advance(trainer, params.training.epochs)
write_outputs(trainer, trainer.close(), Path(sys.argv[1]))
"""

# The real stage, but for a process that is gone with the first checkpoint, as at a loss of power.
KILLED_STAGE = """
import os, signal
from bmix.training.checkpoint import Checkpoints
from stages.train import main

save = Checkpoints.save

def save_and_die(self, trainer):
    save(self, trainer)
    os.kill(os.getpid(), signal.SIGKILL)

Checkpoints.save = save_and_die
main()
"""


def contents(folder: Path, names: list[str]) -> dict[str, bytes]:
    """The bytes of every file at or below `names`, by path relative to `folder`."""
    found: dict[str, bytes] = {}
    for name in names:
        path = folder / name
        assert path.exists(), f"{name} is missing"
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        found |= {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
    return found


def remove(folder: Path, names: list[str]) -> None:
    for name in names:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def without_outputs(project: Path, folder: Path) -> Path:
    """The finished project's code, data and params in a new folder with an empty cache: all is still to be run."""
    copy_project(project, folder)
    remove(folder, [*OUTPUTS, "dvc.lock"])
    shutil.copy2(project / ".dvc/config", folder / ".dvc/config")
    return folder


@pytest.mark.exhaustive
def test_dvc_gives_the_same_bytes_again(finished_project: Path, tmp_path: Path) -> None:
    by_dvc = without_outputs(finished_project, tmp_path / "dvc")
    ended = run(by_dvc, "-m", "dvc", "repro", PATH=ACTIVE)
    assert ended.returncode == 0, ended.stdout
    assert "Running stage 'train'" in ended.stdout
    assert contents(by_dvc, OUTPUTS) == contents(finished_project, OUTPUTS)


def test_the_library_gives_the_bytes_of_dvc(finished_project: Path, tmp_path: Path) -> None:
    by_library = tmp_path / "library"
    by_library.mkdir()
    ended = run(finished_project, "-c", LIBRARY_CALL, str(by_library))
    assert ended.returncode == 0, ended.stdout
    assert contents(by_library, TRAINED) == contents(finished_project, TRAINED)


@pytest.mark.exhaustive
def test_the_flow_gives_the_bytes_of_dvc(
    finished_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: None
) -> None:
    by_flow = without_outputs(finished_project, tmp_path / "flow")
    monkeypatch.chdir(by_flow)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    state = pipeline(return_state=True)
    assert state.is_completed(), state.message
    assert contents(by_flow, OUTPUTS) == contents(finished_project, OUTPUTS)


@pytest.mark.exhaustive
def test_a_killed_training_goes_on_to_the_bytes_of_an_uninterrupted_one(finished_project: Path, tmp_path: Path) -> None:
    project = copy_project(finished_project, tmp_path / "project")
    edit_params(project, "training.epochs=4")
    ended = run(project, "-m", "dvc", "repro", "train", PATH=ACTIVE)
    assert ended.returncode == 0, ended.stdout
    uninterrupted = contents(project, TRAINED)

    remove(project, [*TRAINED, ".bmix/checkpoints"])
    ended = run(project, "-c", KILLED_STAGE)
    assert ended.returncode == -signal.SIGKILL, ended.stdout
    assert not [name for name in TRAINED if (project / name).exists()]

    ended = run(project, "-m", "dvc", "repro", "--single-item", "--force", "--no-run-cache", "train", PATH=ACTIVE)
    assert ended.returncode == 0, ended.stdout
    assert "goes on after epoch 2 from" in ended.stdout
    assert contents(project, TRAINED) == uninterrupted
    assert len(list((project / ".bmix/checkpoints").glob("train-*/finished"))) == 1
    ended = run(project, "-m", "stages.publish")
    assert ended.returncode == 0, ended.stdout
    assert not list((project / ".bmix/checkpoints").glob("train-*/"))


@pytest.mark.exhaustive
def test_a_run_made_by_hand_is_taken_over_by_dvc_commit(finished_project: Path, tmp_path: Path) -> None:
    project = copy_project(finished_project, tmp_path / "project")
    edit_params(project, "training.learning_rate=0.001")
    for stage in ("warmup", "train"):
        ended = run(project, "-m", f"stages.{stage}")
        assert ended.returncode == 0, ended.stdout
    by_hand = contents(project, ["models/warmup", *TRAINED])
    assert by_hand != contents(finished_project, ["models/warmup", *TRAINED])

    ended = run(project, "-m", "dvc", "commit", "--force", "warmup", "train")
    assert ended.returncode == 0, ended.stdout
    ended = run(project, "-m", "dvc", "repro", PATH=ACTIVE)
    assert ended.returncode == 0, ended.stdout
    for stage in ("prepare", "noise", "audit", "pretrain", "warmup", "pseudo", "train"):
        assert f"Stage '{stage}' didn't change, skipping" in ended.stdout
    assert "Running stage 'evaluate'" in ended.stdout
    assert contents(project, ["models/warmup", *TRAINED]) == by_hand
    assert not list((project / ".bmix/checkpoints").glob("*/finished"))
