"""A prepared data set and its results, shared by `dvc push` and `dvc pull`; the remote is a folder."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bmix.pipeline.repro import Progress
from tests.helpers.projects import copy_project, run
from tests.helpers.tiny import REPOSITORY

pytestmark = pytest.mark.pipeline

STAGES = {"prepare", "noise", "audit", "pretrain", "warmup", "pseudo", "train", "evaluate"}
FOLDERS = ("data/prepared", "data/noisy", "models/warmup", "models/final", "plots")
FILES = (
    "metrics.json",
    "verdicts.parquet",
    "verdicts.json",
    "history.csv",
    "mixtures.parquet",
    "sampler.csv",
    "verdict_history.parquet",
    "report.html",
)


@pytest.fixture
def published(finished_project: Path, tmp_path: Path) -> Path:
    """A finished project as a git repository with the remote `store` beside it; nothing is pushed yet."""
    project = copy_project(finished_project, tmp_path / "project")
    config = project / ".dvc/config"
    config.write_text("[core]\n    analytics = false\n", encoding="utf-8")
    # The cache stays where the finished project has it; what a clone takes must come through the remote.
    shared = f"[cache]\n    dir = {finished_project / '.dvc/cache'}\n"
    (project / ".dvc/config.local").write_text(shared, encoding="utf-8")
    for name in (".gitignore", ".dvc/.gitignore"):
        shutil.copy2(REPOSITORY / name, project / name)
    git(project, "init", "--quiet")
    dvc(project, "remote", "add", "-d", "store", "../store")
    commit(project)
    return project


def test_a_clone_pulls_all_outputs_and_reproduces_nothing(published: Path, tmp_path: Path) -> None:
    assert "pushed" in dvc(published, "push")
    clone = cloned(published, tmp_path / "clone")
    assert not (clone / "data/prepared").exists()
    assert {f"{stage}:" for stage in STAGES} <= set(stale(clone))
    dvc(clone, "pull")
    assert stale(clone) == []
    assert reproduced(clone) == dict.fromkeys(STAGES, "cached") | {"publish": "ran"}
    assert stale(clone) == []
    assert outputs(clone) == outputs(published)
    assert git(clone, "status", "--porcelain") == ""


@pytest.mark.exhaustive
def test_a_clone_has_the_users_own_input_where_dvc_tracks_it(published: Path, tmp_path: Path) -> None:
    git(published, "rm", "-r", "--quiet", "--cached", "data/digits")
    dvc(published, "add", "data/digits")
    commit(published)
    assert "data/digits.dvc" in git(published, "ls-files")
    assert "data/digits/" not in git(published, "ls-files")
    dvc(published, "push")
    clone = cloned(published, tmp_path / "clone")
    assert not (clone / "data/digits").exists()
    dvc(clone, "pull")
    assert reproduced(clone) == dict.fromkeys(STAGES, "cached") | {"publish": "ran"}
    assert contents(clone / "data/digits") == contents(published / "data/digits")
    assert outputs(clone) == outputs(published)


@pytest.mark.exhaustive
def test_a_clone_without_the_input_has_the_results_and_is_told_what_is_missing(published: Path, tmp_path: Path) -> None:
    git(published, "rm", "-r", "--quiet", "--cached", "data/digits")
    with (published / ".gitignore").open("a", encoding="utf-8") as file:
        file.write("/data/digits\n")
    commit(published)
    dvc(published, "push")
    clone = cloned(published, tmp_path / "clone")
    dvc(clone, "pull")
    refused = run(clone, "-m", "bmix", "repro")
    assert refused.returncode == 2
    assert "error: data.root: data/digits is not a folder" in refused.stdout
    assert outputs(clone) == outputs(published)
    went_on = read_states(dvc(clone, "repro", "--allow-missing"))
    assert went_on == dict.fromkeys(STAGES, "cached") | {"publish": "ran"}
    assert outputs(clone) == outputs(published)


def git(project: Path, *arguments: str) -> str:
    person = ["-c", "user.name=bmix", "-c", "user.email=bmix@localhost"]
    done = subprocess.run(
        ["git", *person, *arguments], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def dvc(project: Path, *arguments: str) -> str:
    done = run(project, "-m", "dvc", *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def commit(project: Path) -> None:
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "shared")


def cloned(project: Path, folder: Path) -> Path:
    """A clone with a cache of its own, which is empty."""
    git(folder.parent, "clone", "--quiet", str(project), str(folder))
    assert not (folder / ".dvc/config.local").exists()
    return folder


def stale(project: Path) -> list[str]:
    """The stages that `dvc status` tells of, but for publish, which it always names."""
    lines = dvc(project, "status").splitlines()
    return [line for line in lines if line.endswith(":") and not line.startswith((" ", "\t")) and line != "publish:"]


def reproduced(project: Path) -> dict[str, str]:
    """The state of every stage after `python -m bmix repro`."""
    ended = run(project, "-m", "bmix", "repro")
    assert ended.returncode == 0, ended.stdout
    return read_states(ended.stdout)


def read_states(text: str) -> dict[str, str]:
    progress = Progress()
    for line in text.splitlines():
        progress.read(line)
    return {stage: state for stage, state in progress.states.items() if not stage.endswith(".dvc")}


def outputs(project: Path) -> dict[str, bytes]:
    """Every file that a stage wrote, by its path."""
    written = {name: (project / name).read_bytes() for name in FILES}
    return written | {f"{name}/{path}": data for name in FOLDERS for path, data in contents(project / name).items()}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
