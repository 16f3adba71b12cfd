"""What makes two runs the same: their params, their data and their code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmix.data.manifest import REVIEWED
from bmix.support.errors import InputError
from bmix.support.files import read_json
from bmix.workspace.locked import digest
from bmix.workspace.pipeline_file import CODE_FOLDERS

if TYPE_CHECKING:
    import pyarrow

PREPARED, NOISY = Path("data/prepared"), Path("data/noisy")
MANIFEST, FACTS, LABELS = PREPARED / "manifest.parquet", PREPARED / "facts.json", NOISY / "labels.parquet"
_ROWS_AT_ONCE = 2**16


@dataclass(frozen=True)
class RecordKey:
    """Digests of the params, the data and the code of a run: one parent run in MLflow has them."""

    params: str
    data: str
    code: str


def data_digest() -> str:
    """16 hex digits of the images of every split, by id and content, and of all labels: whatever their file's bytes.

    InputError where the stages prepare and noise have not run.
    """
    import pyarrow.parquet as pq

    for path in (MANIFEST, FACTS, LABELS):
        if not path.exists():
            remedy = "run `dvc checkout`, which restores outputs, or `dvc repro`, which makes them"
            raise InputError(str(path), "no such file", "the outputs of the stages prepare and noise", remedy)
    # Reviewed labels are trained on otherwise than the same ones unseen; most data has none.
    reviewed = [name for name in pq.read_schema(MANIFEST).names if name == REVIEWED]
    labels = [
        _rows_digest(MANIFEST, ["id", "split", "labels", "ignore", *reviewed]),
        _rows_digest(LABELS, ["id", "given", "true"]),
    ]
    return digest([read_json(FACTS)["membership"], labels])


def code_digest(locked: Iterable[Mapping[str, Any]]) -> str:
    """16 hex digits of the project's own code that the stages ran with, as DVC locked it.

    locked: the entries of the stages in dvc.lock.
    """
    dependencies = [dependency for entry in locked for dependency in entry.get("deps", [])]
    folders = tuple(f"{folder}/" for folder in CODE_FOLDERS)
    code = {(each["path"], each.get("md5")) for each in dependencies if f"{each['path']}/".startswith(folders)}
    return digest(sorted(code, key=str))


def _rows_digest(path: Path, columns: list[str]) -> str:
    """A digest of columns of text, or of lists of text, whatever the row groups and the encoding of the file."""
    from pyarrow import parquet

    states = {name: [hashlib.blake2b(digest_size=8) for _ in range(3)] for name in columns}
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
            for name in columns:
                for state, part in zip(states[name], _parts(batch[name]), strict=True):
                    state.update(part)
    return digest({name: [state.hexdigest() for state in own] for name, own in states.items()})


def _parts(column: pyarrow.Array) -> tuple[bytes, bytes, bytes]:
    """How many texts each row lists (-1: null), how long each text is, and all texts in one: together the column."""
    import pyarrow
    from pyarrow import compute

    counts = b""
    if pyarrow.types.is_list(column.type) or pyarrow.types.is_large_list(column.type):
        counts = compute.list_value_length(column).fill_null(-1).cast("int64").to_numpy().tobytes()
        column = column.flatten()
    texts = column.cast("large_string")
    lengths = compute.binary_length(texts).fill_null(-1).to_numpy().tobytes()
    return counts, lengths, b"".join(texts.drop_null().cast("large_binary").to_pylist())
