"""Checkpoints that have served: those of runs whose outputs are written, and which DVC has taken over by publish."""

from __future__ import annotations

import shutil
from pathlib import Path

FINISHED = "finished"
"""The file that marks a run's folder once the stage has written its outputs."""


def drop_finished(home: Path) -> None:
    """Remove the checkpoints below `home` that are marked as finished."""
    for mark in home.glob(f"*/{FINISHED}"):
        shutil.rmtree(mark.parent, ignore_errors=True)
        mark.parent.with_suffix(".lock").unlink(missing_ok=True)
