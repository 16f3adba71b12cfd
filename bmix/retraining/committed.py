"""Accepted nights in git, on request: params.yaml and dvc.lock on a branch of their own, without a checkout."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from bmix.retraining.versions import Version
from bmix.support.errors import InputError

BRANCH = "bmix-nights"
COMMITTED = ("params.yaml", "dvc.lock")
_REF = f"refs/heads/{BRANCH}"
_SECONDS = 60


def check_git() -> None:
    """InputError if an accepted night could not be committed: no repository, no commit, no name, branch in use."""
    try:
        _git("rev-parse", "--verify", "--quiet", "HEAD")
        _git("var", "GIT_COMMITTER_IDENT")
    except _GitError as error:
        raise InputError(
            "params.yaml, retrain.commit",
            f"git cannot commit here: {error}",
            "a clone with a commit, and a name to commit by",
            "git config user.name NAME && git config user.email ADDRESS, or set retrain.commit to false",
        ) from error
    if _git("rev-parse", "--abbrev-ref", "HEAD") == BRANCH:
        raise InputError(
            "params.yaml, retrain.commit",
            f"{BRANCH} is checked out",
            "another branch, since nights move that one",
            "git switch to the branch that you work on",
        )


def commit_version(version: Version) -> str:
    """Commit the params and the lock of a version to BRANCH, which starts at HEAD; the commit's short name.

    Neither the files in this folder nor git's index are touched. RuntimeError if git fails.
    """
    here = _git("rev-parse", "--show-prefix")
    tip = _tip()
    parent = tip or _git("rev-parse", "HEAD")
    with tempfile.TemporaryDirectory(prefix="bmix-commit-") as folder:
        own = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _git("read-tree", parent, **own)
        for name in COMMITTED:
            blob = _git("hash-object", "-w", str((version.folder / name).absolute()))
            _git("update-index", "--add", "--cacheinfo", f"100644,{blob},{here}{name}", **own)
        tree = _git("write-tree", **own)
    message = f"{version.name}: {version.note['reason']}\n\nmade {version.note['made']}"
    commit = _git("commit-tree", tree, "-p", parent, "-m", message)
    # With the old value: a branch that somebody moved meanwhile is not overwritten.
    _git("update-ref", _REF, commit, tip or "0" * len(commit))
    return commit[:10]


class _GitError(RuntimeError):
    """Git refused, or is not there."""


def _tip() -> str:
    try:
        return _git("rev-parse", "--verify", "--quiet", _REF)
    except _GitError:
        return ""


def _git(*arguments: str, **environment: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], env=os.environ | environment, capture_output=True, text=True, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _GitError(f"git {arguments[0]}: {error}") from error
    if done.returncode != 0:
        told = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise _GitError(f"git {arguments[0]}: {told}")
    return done.stdout.strip()
