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
    """One usable image file: bytes, time of change in ns, digest of the bytes, and the picture's shorter side."""

    size: int
    changed: int
    digest: int
    side: int


@dataclass
class Examined:
    """The columns of Found by path, int64 but for `digests`, uint64; `sides` is 0 where nothing is known of a path."""

    paths: np.ndarray
    sizes: np.ndarray
    changed: np.ndarray
    digests: np.ndarray
    sides: np.ndarray

    @classmethod
    def nothing(cls, paths: np.ndarray) -> Examined:
        """No knowledge of these paths yet."""
        size, changed, side = np.zeros((3, len(paths)), np.int64)
        return cls(paths, size, changed, np.zeros(len(paths), np.uint64), side)

    def found(self, position: int) -> Found | None:
        """What is known of the path at this position, None where that is nothing."""
        if not self.sides[position]:
            return None
        columns = (self.sizes, self.changed, self.digests, self.sides)
        return Found(*(int(column[position]) for column in columns))

    def note(self, position: int, found: Found | None) -> None:
        """Know this of the path at this position, or, by None, nothing any more."""
        columns = (self.sizes, self.changed, self.digests, self.sides)
        for column, value in zip(columns, found or (0, 0, 0, 0), strict=True):
            column[position] = value


def recall(memo: Path | None, root: Path, paths: np.ndarray) -> Examined:
    """What `memo` says of these paths below `root`; nothing where it is damaged, or of another root or decoder.

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
    columns = {name: table.column(name).to_numpy() for name in ("size", "changed", "digest", "side")}
    rows = pd.Index(table.column("path").to_numpy()).get_indexer(pd.Index(_as_bytes(paths), dtype=object))
    found = rows >= 0
    known.sizes[found] = columns["size"][rows[found]]
    known.changed[found] = columns["changed"][rows[found]]
    known.digests[found] = columns["digest"][rows[found]]
    known.sides[found] = columns["side"][rows[found]]
    return known


def remember(memo: Path, root: Path, examined: Examined, before: int) -> None:
    """Replace the memo by what is known of files changed before this time in ns; done without if it cannot be written.

    before: earlier than any file was read. A file changed later may change again without its time telling so.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    usable = (examined.sides > 0) & (examined.changed < before)
    table = pa.table(
        {
            "path": pa.array(_as_bytes(examined.paths[usable]), pa.binary()),
            "size": examined.sizes[usable],
            "changed": examined.changed[usable],
            "digest": examined.digests[usable],
            "side": examined.sides[usable],
        }
    ).replace_schema_metadata({b"of": _of(root)})
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
