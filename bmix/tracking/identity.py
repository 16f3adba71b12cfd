"""What makes two runs the same: their params, their data and their code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmix.support.errors import InputError
from bmix.support.files import read_json
from bmix.workspace.locked import digest
from bmix.workspace.pipeline_file import CODE_FOLDERS

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
    for path in (MANIFEST, FACTS, LABELS):
        if not path.exists():
            remedy = "run `dvc checkout`, which restores outputs, or `dvc repro`, which makes them"
            raise InputError(str(path), "no such file", "the outputs of the stages prepare and noise", remedy)
    labels = [
        _rows_digest(MANIFEST, ["id", "split", "labels", "ignore"]),
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
    from pyarrow import parquet

    state = hashlib.blake2b(digest_size=8)
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
            for row in zip(*(batch[column].to_pylist() for column in columns), strict=True):
                state.update(json.dumps(row, separators=(",", ":")).encode() + b"\n")
    return state.hexdigest()
