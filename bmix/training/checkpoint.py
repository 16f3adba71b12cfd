"""Runs in progress: a folder per run, keyed by what determines it, outside of what DVC removes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bmix.errors import InputError
from bmix.files import replaced_folder
from bmix.training.loop import Trainer
from bmix.training.state import load_state, save_state


def run_key(settings: Any, inputs: Iterable[Path], code: Iterable[Path]) -> str:
    """A digest of the settings (JSON), the bytes of the input files and of the code (folders: their .py files)."""
    digest = hashlib.blake2b(digest_size=12)
    digest.update(json.dumps([settings, torch.__version__], sort_keys=True).encode())
    for path in inputs:
        digest.update(hashlib.blake2b(path.read_bytes()).digest())
    for place in code:
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.as_posix().encode() + hashlib.blake2b(path.read_bytes()).digest())
    return digest.hexdigest()


class Checkpoints:
    """The last finished epoch of one run: `HOME/STAGE-KEY/epoch-00007/`, whole or not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, trainer: Trainer) -> None:
        """Write this epoch, then drop the earlier ones."""
        earlier = self._epochs()
        with replaced_folder(self.folder / f"epoch-{trainer.epoch:05d}") as temporary:
            save_state(trainer, temporary)
        for path in earlier:
            shutil.rmtree(path, ignore_errors=True)

    def resume(self, trainer: Trainer) -> bool:
        """Go on from the last epoch written; False where there is none."""
        epochs = self._epochs()
        if not epochs:
            return False
        load_state(trainer, epochs[-1])
        return True

    def drop(self) -> None:
        """Remove the run's folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _epochs(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-[0-9]*"))


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
