"""An optional cache on disk: the decoded images of one split at training size, memory-mapped, one file for all runs.

The environment variable BMIX_IMAGE_CACHE names its folder. Nothing that is computed depends on it. Files in the folder
can be deleted at any time when no run uses them; those of images that were changed since are not used again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bmix.data.decoding import DECODER
from bmix.support.errors import InputError
from bmix.support.locks import held
from bmix.support.pace import Pace

VARIABLE = "BMIX_IMAGE_CACHE"
LEFT_FREE = 2**30
LEFT_FREE_SHARE = 0.05
"""What writing leaves free on the disk: the smaller of LEFT_FREE bytes and this share of the disk."""
PATIENCE = 30 * 60
"""Seconds without a byte written after which a process no longer waits for the one that writes."""


def cache_folder() -> Path | None:
    """The folder that BMIX_IMAGE_CACHE names, made where it is missing; None if the variable is unset or empty."""
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error
    return folder


class CachedImages:
    """The decoded images of some files, uint8 (N, 3, S, S) in one .npy file, which is written first where missing.

    decode_all: the images in order, in blocks (B, 3, S, S); asked for when they have to be written.
    The file's name is a digest of each path, size and time of change, of S and of the decoder. One process writes;
    others wait for it. It is whole or not there: what a killed process leaves is removed by the next.
    Raises InputError if the folder cannot be used or the disk has too little space, before anything is written.
    """

    def __init__(
        self, folder: Path, paths: Sequence[Path], image_size: int, decode_all: Callable[[], Iterator[np.ndarray]]
    ) -> None:
        self.shape = (len(paths), 3, image_size, image_size)
        self.path = folder / f"images-{image_size}-{_digest(paths, image_size)}.npy"
        self._mapped: np.ndarray | None = None
        if not self._whole():
            try:
                with self._alone():
                    if not self._whole():
                        self._write(decode_all())
            except OSError as error:
                raise _unusable(self.path, error) from error

    def read(self, rows_B: Tensor) -> Tensor:
        """A copy of the images of these rows."""
        if self._mapped is None:
            self._mapped = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return torch.from_numpy(np.asarray(self._mapped[rows_B.numpy()]))

    def __getstate__(self) -> dict[str, object]:
        # A process that is sent this object maps the file itself; the mapping would be sent as a copy of all of it.
        return {**self.__dict__, "_mapped": None}

    def _whole(self) -> bool:
        try:
            mapped = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return False
        return mapped.shape == self.shape and mapped.dtype == np.uint8 and mapped.flags.c_contiguous

    def _alone(self) -> AbstractContextManager[None]:
        """Hold this file for writing, after waiting for another process as long as that goes on writing it."""

        def refusal(process: str) -> InputError:
            return InputError(
                VARIABLE,
                f"process {process} writes {self.path} and has not gone on for {PATIENCE // 60} minutes",
                "a process that writes",
                f"end that process and start again, or unset {VARIABLE}: it only saves time",
            )

        def written() -> int:
            return self._part.stat().st_size if self._part.exists() else 0

        waiting = f"{VARIABLE}: waiting for another process that writes {self.path}"
        return held(self.path.with_suffix(".lock"), refusal, PATIENCE, waiting, written)

    @property
    def _part(self) -> Path:
        return self.path.with_suffix(".part")

    def _write(self, blocks: Iterator[np.ndarray]) -> None:
        temporary = self._part
        # Left by a process that was killed: whoever writes holds the lock.
        temporary.unlink(missing_ok=True)
        count, bytes_needed = self.shape[0], int(np.prod(self.shape, dtype=np.int64))
        size = f"{count} decoded images, {bytes_needed / 2**30:.2f} GiB"
        _refuse_full_disk(self.path, bytes_needed, size)
        print(f"{VARIABLE}: writing {size}, to {self.path}", file=sys.stderr)
        done = 0
        try:
            with Pace("cached", count) as pace, temporary.open("wb") as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
                np.lib.format.write_array_header_1_0(file, header)
                for block in blocks:
                    file.write(block.data)
                    done += len(block)
                    pace.tell(done)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        finally:
            temporary.unlink(missing_ok=True)


def _digest(paths: Sequence[Path], image_size: int) -> str:
    digest = hashlib.blake2b(f"{DECODER} {image_size}".encode(), digest_size=16)
    for path in paths:
        try:
            status = path.stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            # Decoding it will name it.
            state = "absent"
        digest.update(f"\0{path.absolute()}\0{state}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _refuse_full_disk(path: Path, bytes_needed: int, size: str) -> None:
    usage = shutil.disk_usage(path.parent)
    left_free = min(LEFT_FREE, LEFT_FREE_SHARE * usage.total)
    if usage.free - bytes_needed < left_free:
        raise InputError(
            VARIABLE,
            f"{path.parent} has {usage.free / 2**30:.2f} GiB free, too little for {size}",
            f"room for them with {left_free / 2**30:.2f} GiB to spare",
            f"free some space, name a folder on another disk, or unset {VARIABLE}: it only saves time",
        )


def _unusable(path: Path, error: OSError) -> InputError:
    return InputError(
        VARIABLE, f"{path} cannot be used: {error}", "a folder to write to", f"correct or unset {VARIABLE}"
    )
