"""The pictures in a column of a parquet file, looked at and written out one by one."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bmix.data.decoding import UnusableImageError, measure
from bmix.support.errors import InputError

ROWS_AT_ONCE = 64
_SUFFIXES = {
    b"\xff\xd8": ".jpg", b"\x89P": ".png", b"GI": ".gif", b"BM": ".bmp", b"II": ".tif", b"MM": ".tif", b"RI": ".webp"
}  # fmt: skip
"""By the first two bytes of a picture; it is decoded by its content, whatever it is called."""


@dataclass(frozen=True)
class Unpacked:
    """The path of each picture below the folder it is written to, and the digest of its bytes (16 hex digits)."""

    paths: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)


def unpack(file: Path, column: str, below: str, folder: Path | None, look: bool) -> Unpacked:
    """Every picture of a column as a file in folder/below, named by its row; folder None: nothing is written.

    look: whether each is decoded here, so that one that is broken is an InputError with its row.
    """
    unpacked = Unpacked()
    prefix = f"{below}/" if below else ""
    if folder is not None:
        (folder / below).mkdir(parents=True, exist_ok=True)
    with pq.ParquetFile(file) as content:
        width = len(str(content.metadata.num_rows))
        for batch in content.iter_batches(ROWS_AT_ONCE, columns=[column]):
            cells = batch.column(0)
            for cell in cells.field("bytes") if pa.types.is_struct(cells.type) else cells:
                row = len(unpacked.paths) + 1
                picture = cell.as_py()
                _refuse_unusable(picture, f"{file}, row {row}", look)
                name = f"{prefix}{row:0{width}d}{_SUFFIXES.get(picture[:2], '.img')}"
                if folder is not None:
                    (folder / name).write_bytes(picture)
                unpacked.paths.append(name)
                unpacked.digests.append(hashlib.blake2b(picture, digest_size=8).hexdigest())
    return unpacked


def _refuse_unusable(picture: bytes | None, where: str, look: bool) -> None:
    if not picture:
        raise InputError(where, "no picture", "the bytes of a picture in each row", "remove the row")
    if look:
        try:
            measure(io.BytesIO(picture))
        except UnusableImageError as fault:
            raise InputError(
                where,
                f"the picture {fault}",
                "pictures that decode in full",
                "replace it, drop the row, or set data.unreadable to skip",
            ) from fault
