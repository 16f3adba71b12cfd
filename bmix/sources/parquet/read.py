"""Parquet files with pictures and labels in one, as Hugging Face's datasets writes them: a file, or a folder of parts.

A column of pictures (`bytes`, alone or beside their `path`), and the columns of a table but for the paths. Files called
train-00000-of-00002.parquet are parts of train; a column `split` says it by row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bmix.data.manifest import Manifest
from bmix.sources.cells import Cells, origins
from bmix.sources.class_list import AUTO, class_list
from bmix.sources.column_names import find_roles, form_note
from bmix.sources.label_cells import CellRules
from bmix.sources.parquet.pictures import Unpacked, unpack
from bmix.sources.parquet_notes import class_names, holds_pictures, index_names
from bmix.sources.split_names import split_named
from bmix.sources.table.read import PLAIN, manifest_of, text_column
from bmix.support.errors import InputError, quoted

_PART = re.compile(r"-\d+-of-\d+(-[0-9a-f]+)?$")


def read_parquet(
    path: Path,
    root: Path,
    seed: int,
    folder: Path | None,
    split_of: dict[str, str] | None = None,
    rules: CellRules = PLAIN,
    classes: str = AUTO,
    look: bool = True,
) -> Manifest:
    """Read parquet files into a manifest with the digest of every picture.

    path: one file, or a folder of them, whose names say the split. folder: where the pictures are written, a file each
    with the bytes as they are; None: nothing is written. look: whether a picture that does not decode is refused here.
    seed, split_of, rules, classes, root: as in `read_table`; without a column `split` the parts are the files' names.
    Raises InputError for a file that is no parquet, columns that differ between the files, no column of pictures or
    several, a row without a picture, and labels that cannot be read.
    """
    files = _files(path)
    parts = [_PART.sub("", file.stem) for file in files]
    tables, unpacked = [], []
    with _errors_explained(path):
        schema = _common_schema(files)
        column = _picture_column(schema, path)
        names = [name for name in schema.names if name != column]
        roles = find_roles(names, str(path), needs_path=False)
        indexes = [name for name in index_names(schema) if name not in roles.values()]
        names = [name for name in names if name not in indexes]
        for file in files:
            tables.append(pq.read_table(file, columns=[name for name in names if name != roles.get("path")]))
            below = file.relative_to(path).with_suffix("").as_posix() if path.is_dir() else ""
            unpacked.append(unpack(file, column, below, folder, look))
        table = pa.concat_tables(tables)
    roles.pop("path", None)
    note = form_note(roles, indexes)
    form = f'pictures in column "{column}" of {len(files)} files' + (f", {note}" if note else "")
    counts = [np.arange(1, len(one) + 1) for one in tables]
    places = [origins(file, "row", count) for file, count in zip(files, counts, strict=True)]
    cells = Cells(table, places[0].append(places[1:]), names, roles, form, class_names(schema))
    frame = _frame(cells, unpacked, parts)
    return manifest_of(cells, frame, seed, split_of or {}, rules, class_list(classes, root), str(path), {})


def _frame(cells: Cells, unpacked: list[Unpacked], parts: list[str]) -> pd.DataFrame:
    """Path, id, digest and, where it is known, the split of each row."""
    paths = [path for one in unpacked for path in one.paths]
    frame = pd.DataFrame({"path": pd.Series(paths, dtype=object)}).set_index(cells.origins)
    frame["digest"] = [digest for one in unpacked for digest in one.digests]
    frame["id"] = text_column(cells, "id") if cells.has("id") else [path.rpartition(".")[0] for path in paths]
    if not cells.has("split") and (len(parts) > 1 or all(split_named(part) for part in parts)):
        frame["split"] = [part for part, one in zip(parts, unpacked, strict=True) for _ in one.paths]
    return frame


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(file for file in path.rglob("*.parquet") if file.is_file())
    else:
        files = [path] if path.is_file() and path.suffix.lower() == ".parquet" else []
    if not files:
        raise InputError(
            "data.path", f"{path} is no parquet file and no folder of some", "a .parquet, or a folder", "correct it"
        )
    return files


def _common_schema(files: list[Path]) -> pa.Schema:
    """The columns of all files; InputError if two differ."""
    first = pq.read_schema(files[0])
    for file in files[1:]:
        other = pq.read_schema(file)
        if not other.equals(first):
            differing = sorted({*map(str, first)} ^ {*map(str, other)})
            raise InputError(
                str(file),
                f"columns that {files[0].name} does not have so: {quoted(differing)}",
                "the same in all",
                "write the files anew, or name one of them in data.path",
            )
    return first


def _picture_column(schema: pa.Schema, path: Path) -> str:
    found = [name for name in schema.names if holds_pictures(schema.field(name).type)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            str(path),
            f"no column of pictures; columns found: {quoted(schema.names)}",
            "a column image with the bytes of a picture in each row",
            "for paths of image files set data.source to table, for numbers to features",
        )
    raise InputError(str(path), f"pictures in the columns {quoted(found)}", "one such column", "leave out the others")


@contextmanager
def _errors_explained(path: Path) -> Iterator[None]:
    """Arrow's errors for a broken file as InputError."""
    try:
        yield
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(str(path), f"not readable as parquet: {error}", "parquet files", "write them anew") from error
