"""Runs in progress: a folder for each, named by a key of all that determines the run, where DVC removes nothing."""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmix.support.errors import InputError
from bmix.support.files import read_json, replaced_folder, write_json
from bmix.support.locks import held
from bmix.training.finished import FINISHED, mark_finished
from bmix.training.identity import RunIdentity, differences
from bmix.training.loop import Trainer
from bmix.training.state import load_run, save_run

IDENTITY = "run.json"


class Checkpoints:
    """The last finished epoch of one run: `HOME/STAGE-KEY/epoch-00007/`, whole or not there, and the run's identity."""

    def __init__(self, home: Path, stage: str, identity: RunIdentity) -> None:
        self.home, self.stage, self.identity = home, stage, identity
        self.folder = home / f"{stage}-{identity.key}"

    def save(self, trainer: Trainer) -> None:
        """Write this epoch, then drop the earlier ones; InputError if the disk is full, and then these are intact."""
        earlier = _epochs(self.folder)
        # What a process that was killed left: the run is claimed by this one.
        for leftover in self.folder.glob(".*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            if not (self.folder / IDENTITY).exists():
                write_json(self.folder / IDENTITY, self.identity.parts)
            with replaced_folder(self.folder / f"epoch-{trainer.epoch:05d}") as temporary:
                save_run(trainer, temporary)
                _to_disk(temporary)
        except OSError as error:
            kept = f"epoch {_number(earlier[-1])}" if earlier else "none so far"
            raise InputError(
                str(self.folder),
                f"the checkpoint of epoch {trainer.epoch} cannot be written: {error.strerror or error}",
                "room on the disk, and the right to write there",
                f"fix that and start again: training goes on from the last whole checkpoint ({kept})",
            ) from error
        for path in earlier:
            shutil.rmtree(path, ignore_errors=True)

    def resume(self, trainer: Trainer) -> bool:
        """Go on from the last epoch written; False if there is none, or it lies beyond the run's own last epoch."""
        epochs = [epoch for epoch in _epochs(self.folder) if _number(epoch) <= trainer.plan.epochs]
        if not epochs:
            return False
        load_run(trainer, epochs[-1])
        return True

    def other_run(self) -> list[str]:
        """How the newest other unfinished run of this stage differs from this one, in lines; empty if there is none."""
        others = [_Unfinished.of(folder) for folder in self.home.glob(f"{self.stage}-*/") if folder != self.folder]
        found = [other for other in others if other is not None]
        if not found:
            return []
        newest = max(found, key=lambda other: other.written)
        table = differences(newest.parts, self.identity.parts)
        return [
            f"not resumed: {newest.folder} stands at epoch {newest.epoch} of a run that differs in",
            *(f"  {line}" for line in table),
            "training starts afresh; that run goes on when these are as before",
        ]

    def finish(self, keep: bool = False) -> None:
        """Mark the outputs as written; the checkpoint stays until DVC has them (see bmix.training.finished).

        keep: for good, so that a longer run can go on from it.
        """
        mark_finished(self.folder, keep)


@dataclass(frozen=True)
class _Unfinished:
    """A run of which a checkpoint is left and that no process is working on."""

    folder: Path
    epoch: int
    written: int
    parts: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> _Unfinished | None:
        """None for anything else, and for what another process is just removing."""
        try:
            if (folder / FINISHED).exists():
                return None
            with claimed(folder):
                last = _epochs(folder)[-1]
                return cls(folder, _number(last), last.stat().st_mtime_ns, dict(read_json(folder / IDENTITY)))
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None


def claimed(folder: Path) -> AbstractContextManager[None]:
    """Lock `folder` for this process; InputError if another has it. The kernel frees it when the holder dies."""

    def refusal(process: str) -> InputError:
        return InputError(
            str(folder),
            f"process {process} is training this very run",
            "one process per run",
            "wait for it, or end it, then start again: it goes on from the last epoch",
        )

    return held(folder.with_suffix(".lock"), refusal)


def _epochs(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-[0-9]*"))


def _number(epoch: Path) -> int:
    return int(epoch.name.removeprefix("epoch-"))


def _to_disk(folder: Path) -> None:
    """Have the system write the files out, so that the name that they get next never stands for an empty file."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
