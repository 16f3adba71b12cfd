"""Accepted nights on a branch of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bmix.retraining import history
from bmix.retraining.night import run_night
from bmix.retraining.versions import find_version
from tests.helpers.nights import StagesByHand, write_rows
from tests.retraining.test_night import edit_own_params


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def cloned(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with a repository, one commit, and retrain.commit."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "somebody@example.org")
    edit_own_params(commit=True)
    git("init", "--quiet", "--initial-branch", "work")
    git("add", "params.yaml")
    git("commit", "--quiet", "--message", "start")
    return project


def test_every_accepted_night_is_a_commit_and_nothing_else_moves(cloned: Path, stages: StagesByHand) -> None:
    head, status = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    run_night([], stages.tools)
    write_rows(cloned, 450)
    run_night([], stages.tools)
    assert git("rev-parse", "HEAD") == head
    assert git("status", "--porcelain", "--untracked-files=no") == status
    assert git("log", "--format=%s", "bmix-nights").splitlines()[1:] == ["version 1: the first model", "start"]
    for name in ("params.yaml", "dvc.lock"):
        kept = (find_version("1").folder / name).read_text().strip()
        assert git("show", f"bmix-nights~1:{name}") == kept
    assert any(line.startswith("version 2 is commit ") for line in stages.told)


def test_without_a_repository_the_night_fails_before_anything_is_read(project: Path, stages: StagesByHand) -> None:
    edit_own_params(commit=True)
    night = run_night([], stages.tools)
    assert night.result == history.FAILED
    assert "params.yaml, retrain.commit: git cannot commit here" in night.reason
    assert stages.met == []


def test_the_branch_that_nights_move_must_not_be_checked_out(cloned: Path, stages: StagesByHand) -> None:
    git("switch", "--quiet", "--create", "bmix-nights")
    assert "bmix-nights is checked out" in run_night([], stages.tools).reason
