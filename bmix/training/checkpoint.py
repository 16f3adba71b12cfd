"""Runs in progress: a folder per run, keyed by what determines it, outside of what DVC removes."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bmix.errors import InputError
from bmix.files import read_json, replaced_folder, write_json
from bmix.training.finished import FINISHED
from bmix.training.identity import RunIdentity, differences
from bmix.training.loop import Trainer
from bmix.training.state import load_state, save_state

IDENTITY = "run.json"


class Checkpoints:
    """The last finished epoch of one run: `HOME/STAGE-KEY/epoch-00007/`, whole or not there, and the run's identity."""

    def __init__(self, home: Path, stage: str, identity: RunIdentity) -> None:
        self.home, self.stage, self.identity = home, stage, identity
        self.folder = home / f"{stage}-{identity.key}"

    def save(self, trainer: Trainer) -> None:
        """Write this epoch, then drop the earlier ones; InputError where the disk takes no more, with these intact."""
        earlier = _epochs(self.folder)
        try:
            if not (self.folder / IDENTITY).exists():
                write_json(self.folder / IDENTITY, self.identity.parts)
            with replaced_folder(self.folder / f"epoch-{trainer.epoch:05d}") as temporary:
                save_state(trainer, temporary)
                _to_disk(temporary)
        except OSError as error:
            kept = f"epoch {_number(earlier[-1])}" if earlier else "none so far"
            raise InputError(
                str(self.folder),
                f"the checkpoint of epoch {trainer.epoch} cannot be written: {error.strerror or error}",
                "room on the disk, and the right to write there",
                f"mend that and start again: training goes on from the last whole checkpoint ({kept})",
            ) from error
        for path in earlier:
            shutil.rmtree(path, ignore_errors=True)

    def resume(self, trainer: Trainer) -> bool:
        """Go on from the last epoch written; False where there is none."""
        epochs = _epochs(self.folder)
        if not epochs:
            return False
        load_state(trainer, epochs[-1])
        return True

    def other_run(self) -> list[str]:
        """In lines, how the newest unfinished other run of this stage differs from this one; empty without one."""
        others = [
            folder
            for folder in self.home.glob(f"{self.stage}-*")
            if folder != self.folder
            and _epochs(folder)
            and (folder / IDENTITY).is_file()
            and not (folder / FINISHED).exists()
        ]
        if not others:
            return []
        newest = max(others, key=lambda folder: (_epochs(folder)[-1].stat().st_mtime_ns, folder.name))
        table = differences(read_json(newest / IDENTITY), self.identity.parts)
        head = f"not resumed: {newest} stands at epoch {_number(_epochs(newest)[-1])} of a run that differs in"
        return [
            head,
            *(f"  {line}" for line in table),
            "training starts afresh; that run goes on when these are as before",
        ]

    def finish(self) -> None:
        """Mark the run's outputs as written; the checkpoint stays until DVC has them (see bmix.training.finished)."""
        (self.folder / FINISHED).touch()


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; InputError where another holds it. The kernel frees it when the holder dies."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_suffix(".lock")
    with lock.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise InputError(
                str(folder),
                f"process {handle.read().strip() or 'unknown'} is training this very run",
                "one process per run",
                "wait for it, or end it, then start again: it goes on from the last epoch",
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _epochs(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-[0-9]*"))


def _number(epoch: Path) -> int:
    return int(epoch.name.removeprefix("epoch-"))


def _to_disk(folder: Path) -> None:
    """Have the system write the files out, so that the name that they get next never stands for an empty file."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
