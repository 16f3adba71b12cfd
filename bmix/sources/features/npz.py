"""Arrays in a numpy archive, read as data alone, and by chunks of rows where they may be large."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np
from numpy.lib import format as npy

from bmix.support.errors import InputError

CHUNK_BYTES = 32 * 2**20
MOST_ROW_BYTES = 2**28
"""Of one row of an array that is read by chunks: more than any instance holds."""

_BROKEN = (
    OSError, ValueError, TypeError, KeyError, EOFError, OverflowError, MemoryError, RuntimeError, RecursionError,
    SyntaxError, TokenError, struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile,
)  # fmt: skip
"""What zipfile, the decompressors and numpy's reader of headers raise for broken files."""


class Archive:
    """An open .npz: the names, types and contents of its arrays. Nothing is unpickled."""

    def __init__(self, path: Path, content: zipfile.ZipFile) -> None:
        self.path = path
        self._content = content
        self.names = [name.removesuffix(".npy") for name in content.namelist() if name.endswith(".npy")]

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """The shape and type of one array; InputError if it holds Python objects."""
        with self._content.open(f"{name}.npy") as file:
            shape, _, dtype = self._read_header(file, name)
            return shape, dtype

    def read(self, name: str) -> np.ndarray:
        """One whole array."""
        with self._content.open(f"{name}.npy") as file:
            shape, fortran, dtype = self._read_header(file, name)
            values = np.frombuffer(_exactly(file, _size(shape, dtype)), dtype)
            _refuse_more(file)
            return values.reshape(shape, order="F" if fortran else "C")

    def chunks(self, name: str) -> Iterator[np.ndarray]:
        """The rows of one array, some CHUNK_BYTES of them at a time; an array in Fortran's order at once.

        InputError if a row, or an array in that order, is too large for the memory of this machine.
        """
        with self._content.open(f"{name}.npy") as file:
            shape, fortran, dtype = self._read_header(file, name)
            row_bytes = _size(shape[1:], dtype)
            if fortran:
                remedy = "save it in C order, which is read by chunks: numpy.ascontiguousarray"
                refuse_beyond_memory(f"{self.path}, {name}", _size(shape, dtype), remedy)
                yield self.read(name)
                return
            if row_bytes > MOST_ROW_BYTES:
                found = f"a row of {row_bytes / 2**20:.0f} MiB, in the shape {shape}"
                expected = f"at most {MOST_ROW_BYTES // 2**20} MiB"
                raise InputError(f"{self.path}, {name}", found, expected, "check that the right file is named")
            rows = max(1, CHUNK_BYTES // max(row_bytes, 1))
            for start in range(0, shape[0], rows):
                count = min(rows, shape[0] - start)
                yield np.frombuffer(_exactly(file, count * row_bytes), dtype).reshape(count, *shape[1:])
            _refuse_more(file)

    def _read_header(self, file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} is in version {version} of the npy format")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise InputError(
                f"{self.path}, {name}",
                "holds Python objects, which are never loaded",
                "an array of numbers or of text",
                "save rows of one length, and text as an array of type str",
            )
        # Before anything is allocated by what a header claims.
        if any(type(length) is not int or length < 0 for length in shape):
            raise ValueError(f"{name} has the shape {shape}")
        if _size(shape, dtype) != self._content.getinfo(f"{name}.npy").file_size - file.tell():
            raise ValueError(f"{name} is not as long as its header says")
        return shape, fortran, dtype


@contextmanager
def open_npz(path: Path) -> Iterator[Archive]:
    """Open an .npz; whatever is broken in it, then or while it is read inside the block, is one InputError."""
    try:
        with zipfile.ZipFile(path) as content:
            yield Archive(path, content)
    except InputError:
        raise
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            str(path), f"not readable as npz: {reason}", "an archive as numpy.savez writes it", "write it anew"
        ) from error


def refuse_beyond_memory(where: str, size: int, remedy: str) -> None:
    """InputError if `size` bytes are more than this machine has free."""
    free = _free_memory()
    if free is not None and size > free:
        expected = f"at most the {free / 2**30:.1f} GiB of memory that are free"
        raise InputError(where, f"takes {size / 2**30:.1f} GiB", expected, remedy)


def _free_memory() -> int | None:
    """Bytes of memory that can be had; None if the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def _size(shape: tuple[int, ...], dtype: np.dtype) -> int:
    size = dtype.itemsize
    for length in shape:
        size *= length
    return size


def _exactly(file: IO[bytes], size: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise EOFError("an array ends early")
    return content


def _refuse_more(file: IO[bytes]) -> None:
    """Reading on past the end is also what makes zipfile compare the checksum."""
    if file.read(1):
        raise ValueError("an array goes on after its end")
