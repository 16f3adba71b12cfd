"""Tiny projects for tests: the repository's own code and dvc.yaml, a recipe of few scenes, two epochs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.helpers.tiny import REPOSITORY, write_params

EDITS = (
    "data.image_size=24",
    "training.epochs=2",
    "training.warmup_epochs=1",
    "training.batch_size=16",
    "training.threads=1",
    "evaluate.many=30",
    "evaluate.medium=15",
)
SCENES = {"train": 60, "val": 20, "test": 20, "test-balanced": 20}
HANG_SECONDS = 1800
"""How long a test waits before it calls a command hung: a guard, generous so that a busy machine does not decide."""
ENVIRONMENT = {"DVC_NO_ANALYTICS": "1", "BMIX_TRACKING": "off"}


def make_project(folder: Path) -> Path:
    """A project in `folder` with a DVC repository of its own."""
    for name in ("bmix", "stages", "flows"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy2(REPOSITORY / name, folder / name)
    write_params(folder, *EDITS)
    recipe: dict[str, Any] = yaml.safe_load((REPOSITORY / "data/digits/scenes.yaml").read_text(encoding="utf-8"))
    # A gentle fall: with so few scenes a rare class could lose all its labels to the noise.
    recipe |= {"scenes": SCENES, "fall": 2}
    (folder / "data/digits").mkdir(parents=True)
    (folder / "data/digits/scenes.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    shutil.copytree(REPOSITORY / "data/noise", folder / "data/noise")
    shutil.copytree(REPOSITORY / "params", folder / "params")
    shutil.copytree(REPOSITORY / ".dvc/plots", folder / ".dvc/plots")
    (folder / ".dvc/config").write_text("[core]\n    analytics = false\n    no_scm = true\n", encoding="utf-8")
    return folder


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python COMMAND` in the project; its output and error as one text in `.stdout`."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, **ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=HANG_SECONDS,
    )


def edit_params(folder: Path, *edits: str) -> None:
    """Write the tiny params with further `key=value` edits into the project's own params.yaml."""
    write_params(folder, *EDITS, *edits)


def copy_project(project: Path, folder: Path) -> Path:
    """A project's files and outputs in a new folder, with the cache of the first."""
    shutil.copytree(project, folder, symlinks=True, ignore=shutil.ignore_patterns(".bmix", "cache", "tmp"))
    config = folder / ".dvc/config"
    text = config.read_text(encoding="utf-8")
    # A copy of a copy has it.
    if "[cache]" not in text:
        config.write_text(f"{text}[cache]\n    dir = {project / '.dvc/cache'}\n", encoding="utf-8")
    return folder


def failing_stage(name: str, error: str) -> str:
    """The code of a stage that raises `error`, an expression; it may use `tried`, true from the second try on."""
    return f'''
from pathlib import Path
from bmix.support import console
from bmix.support.errors import InputError
from bmix.workspace.timings import stage_timing

def main():
    mark = Path(".bmix/tried")
    tried = mark.exists()
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    with stage_timing("{name}"):
        {error}

console.run(main)
'''
