"""What was found out about image files, kept in a file so that those that did not change are not read again."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bmix.data.decoding import DECODER
from bmix.support.files import replaced

CHECKSUM_BYTES = 16


class Found(NamedTuple):
    """One usable image file: bytes, time of change in ns, digest of the bytes, and the look of the picture.

    side: the shorter one in pixels. conversion, uniform, dark: as in `bmix.data.decoding.Look`.
    """

    size: int
    changed: int
    digest: int
    side: int
    conversion: int
    uniform: bool
    dark: bool


NOTHING = Found(0, 0, 0, 0, 0, False, False)
_KINDS = [np.int64, np.int64, np.uint64, np.int64, np.int64, np.bool_, np.bool_]
FIELDS = np.dtype(list(zip(Found._fields, _KINDS, strict=True)))


@dataclass
class Examined:
    """What is known of some paths: an array of FIELDS, in which `side` is 0 where that is nothing."""

    paths: np.ndarray
    known: np.ndarray

    @classmethod
    def nothing(cls, paths: np.ndarray) -> Examined:
        """No knowledge of these paths yet."""
        return cls(paths, np.zeros(len(paths), FIELDS))

    def found(self, position: int) -> Found | None:
        """What is known of the path at this position, None if that is nothing."""
        found = Found(*self.known[position].item())
        return found if found.side else None

    def note(self, position: int, found: Found | None) -> None:
        """Know this of the path at this position, or, by None, nothing any more."""
        self.known[position] = found or NOTHING


def recall(memo: Path | None, root: Path, paths: np.ndarray) -> Examined:
    """What `memo` says of these paths below `root`; nothing if it is damaged, or of another root or decoder.

    paths: distinct. A memo that does not match the checksum at its head is never parsed.
    """
    known = Examined.nothing(paths)
    try:
        content = b"" if memo is None else memo.read_bytes()
    except OSError:
        return known
    body = content[CHECKSUM_BYTES:]
    if not body or hashlib.blake2b(body, digest_size=CHECKSUM_BYTES).digest() != content[:CHECKSUM_BYTES]:
        return known
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(body))
    if (table.schema.metadata or {}).get(b"of") != _of(root):
        return known
    rows = pd.Index(table.column("path").to_numpy()).get_indexer(pd.Index(_as_bytes(paths), dtype=object))
    found = rows >= 0
    for name in Found._fields:
        known.known[name][found] = table.column(name).to_numpy()[rows[found]]
    return known


def remember(memo: Path, root: Path, examined: Examined, before: int) -> None:
    """Replace the memo by what is known of files changed before this time in ns; done without if it cannot be written.

    before: earlier than any file was read. A file changed later may change again without its time telling so.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    usable = (examined.known["side"] > 0) & (examined.known["changed"] < before)
    columns = {name: examined.known[name][usable] for name in Found._fields}
    paths = pa.array(_as_bytes(examined.paths[usable]), pa.binary())
    table = pa.table({"path": paths, **columns}).replace_schema_metadata({b"of": _of(root)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    body = sink.getvalue().to_pybytes()
    with contextlib.suppress(OSError), replaced(memo) as temporary:
        temporary.write_bytes(hashlib.blake2b(body, digest_size=CHECKSUM_BYTES).digest() + body)


def _as_bytes(paths: np.ndarray) -> list[bytes]:
    # Names of files need not be UTF-8.
    return [os.fsencode(path) for path in paths]


def _of(root: Path) -> bytes:
    return f"decoder {DECODER}, images below {root}".encode("utf-8", "surrogateescape")
