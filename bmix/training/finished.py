"""Checkpoints that are no longer needed: those of runs whose outputs are written and in the hands of DVC."""

from __future__ import annotations

import shutil
from pathlib import Path

from bmix.support.files import write_text

FINISHED = "finished"
"""The file that marks a run's folder once the stage has written its outputs, and names the folder they lie in."""


def mark_finished(folder: Path, keep: bool = False) -> None:
    """Mark a run's folder, which a run of no epoch has not made yet; the outputs lie in the present directory.

    keep: name no directory, so that the checkpoint is never dropped.
    """
    write_text(folder / FINISHED, "" if keep else str(Path.cwd()))


def drop_finished(home: Path) -> None:
    """Remove the checkpoints below `home` whose runs were finished in the present directory.

    Copies of a project share `home`, and a run in another copy may still be waiting for its DVC.
    """
    for mark in home.glob(f"*/{FINISHED}"):
        if _written_in(mark) == str(Path.cwd()):
            # The mark goes last: half a folder without it would pass for an unfinished run.
            for epoch in mark.parent.glob("epoch-*"):
                shutil.rmtree(epoch, ignore_errors=True)
            shutil.rmtree(mark.parent, ignore_errors=True)


def _written_in(mark: Path) -> str | None:
    try:
        return mark.read_text(encoding="utf-8")
    except FileNotFoundError:
        # Another copy is dropping its own at this moment.
        return None
