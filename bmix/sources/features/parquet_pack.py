"""Features in a parquet table: a column of lists, or a column per number; labels as in any table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bmix.sources.cells import Cells, origins
from bmix.sources.class_list import ClassList
from bmix.sources.column_names import find_roles, form_note, is_label_name
from bmix.sources.features.pack import Pack, refuse_nothing
from bmix.sources.label_cells import CellRules, Labels, read_labels
from bmix.sources.parquet_notes import class_names, index_names
from bmix.support.errors import InputError, quoted

if TYPE_CHECKING:
    import pyarrow

FEATURES = "features"
ROW_NUMBERS = ("index", "level_0", "idx")
"""Columns that are an index of rows where they count them."""
TABLE_ROWS = 4096


@contextmanager
def open_parquet_pack(path: Path, rules: CellRules, listed: ClassList | None) -> Iterator[Pack]:
    """Open a .parquet of features; inside the block every fault of the file is an InputError."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield _pack(file, path, rules, listed)
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(
            str(path), f"not readable as parquet: {error}", "a parquet file of features", "write it anew"
        ) from error


def _pack(file: Any, path: Path, rules: CellRules, listed: ClassList | None) -> Pack:
    where = str(path)
    schema = file.schema_arrow
    if len(set(schema.names)) != len(schema.names):
        repeated = next(name for name in schema.names if schema.names.count(name) > 1)
        raise InputError(where, f"column {quoted([repeated])} is duplicated", "each column once", "remove one")
    count = file.metadata.num_rows
    refuse_nothing(where, (count, 1, 1))
    roles = find_roles([name for name in schema.names if _may_have_a_role(schema, name)], where, needs_path=False)
    roles.pop("path", None)
    indexes = [name for name in index_names(schema) if name not in roles.values()]
    others = [name for name in ROW_NUMBERS if name in schema.names and name not in indexes]
    indexes += [name for name in others if _counts_rows(file, name)]
    free = [name for name in schema.names if name not in (*roles.values(), *indexes)]
    columns, candidates = _columns(file, free, roles, listed, where)
    cells = _cells(file, path, roles, candidates, form_note(roles, indexes))
    labels = _noted(read_labels(cells, rules, listed, where, candidates), cells, columns)
    ids = _filled(cells, "id", where) or [f"{row:0{len(str(count))}d}" for row in range(1, count + 1)]
    views, numbers = 1, len(columns)
    types = {schema.field(name).type for name in columns}
    if columns == [FEATURES]:
        first = next(file.iter_batches(1, columns=columns))
        views, numbers = _list_lengths(first.column(0), where)
        types = {_value_type(schema.field(FEATURES).type)}
    refuse_nothing(where, (count, views, numbers))

    def chunks() -> Iterator[np.ndarray]:
        start = 0
        for batch in file.iter_batches(TABLE_ROWS, columns=columns):
            if columns == [FEATURES]:
                yield _list_values(batch.column(0), views, numbers, start, where)
            else:
                values = [batch.column(name).to_numpy(zero_copy_only=False) for name in columns]
                yield np.stack([value.astype(np.float64) for value in values], 1)[:, None]
            start += len(batch)

    kept_type = np.dtype(np.float16 if {str(one) for one in types} == {"halffloat"} else np.float32)
    return Pack(where, (count, views, numbers), kept_type, labels, ids, _filled(cells, "split", where), chunks)


def _columns(
    file: Any, free: list[str], roles: dict[str, str], listed: ClassList | None, where: str
) -> tuple[list[str], list[str]]:
    """The column of lists, or the columns of numbers in their order; and the columns that may be one of a class each.

    free: the columns without a role. Where neither a column of labels nor the names of columns tell the two apart,
    listed columns are classes, and without a list those that hold nothing but 0, 1, -1 or true and false.
    """
    schema = file.schema_arrow
    numeric = [name for name in free if _is_numeric(schema, name)]
    numbered = sorted((name for name in numeric if re.fullmatch(r"f\d+", name)), key=lambda name: int(name[1:]))
    if FEATURES in free:
        columns, candidates = [FEATURES], [name for name in free if name != FEATURES]
    elif numbered:
        columns, candidates = numbered, [name for name in free if name not in numbered]
    elif "labels" in roles:
        columns, candidates = numeric, [name for name in free if name not in numeric]
    else:
        names = set(listed.names) if listed else {name for name in numeric if _is_binary(file, name)}
        columns = [name for name in numeric if name not in names]
        candidates = [name for name in free if name not in columns]
    if not columns:
        raise InputError(
            where,
            f"no features among the columns {quoted(schema.names)}",
            "a column features of lists, or columns of numbers, each with a name of its own",
            "write the features as such; where they are 0 and 1 like the labels, list the classes in data.classes",
        )
    absent = [f"f{number}" for number in range(len(numbered)) if f"f{number}" not in numbered]
    if columns == numbered and absent:
        raise InputError(where, f"no column {absent[0]}", f"f0 to f{len(numbered) - 1}", "write every column")
    return columns, candidates


def _cells(file: Any, path: Path, roles: dict[str, str], candidates: list[str], form: str) -> Cells:
    """The columns with a role, and those that may be one of a class each where there is no column of labels."""
    names = list(file.schema_arrow.names)
    wanted = [
        name for name in names if name in roles.values() or (name in candidates and roles.get("labels") != "labels")
    ]
    table = file.read(columns=wanted)
    places = origins(path, "row", np.arange(1, len(table) + 1))
    return Cells(table, places, names, roles, form, class_names(file.schema_arrow))


def _noted(labels: Labels, cells: Cells, columns: list[str]) -> Labels:
    """The labels with a note on columns under another name, and on which columns of numbers are features."""
    notes = dict(labels.notes)
    if cells.form:
        notes["form"] = cells.form
    if columns != [FEATURES] and not all(re.fullmatch(r"f\d+", name) for name in columns):
        rest = "" if cells.has("labels") else ", since they hold other values than 0 and 1 or are not listed as classes"
        notes["numbers"] = f"columns {quoted(columns)}{rest}"
    return replace(labels, notes=notes)


def _may_have_a_role(schema: pyarrow.Schema, name: str) -> bool:
    """Whether a column can be anything but a number of the features: phase or target may be the name of one."""
    from pyarrow import types as kinds

    kind = schema.field(name).type
    if name in ("id", "split", "labels", "ignore", "true") or not _is_numeric(schema, name):
        return True
    return bool(kinds.is_integer(kind)) and is_label_name(name)


def _is_numeric(schema: pyarrow.Schema, name: str) -> bool:
    from pyarrow import types as kinds

    kind = schema.field(name).type
    return bool(kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind))


def _counts_rows(file: Any, name: str) -> bool:
    """Whether a column of whole numbers grows from row to row, as an index does that became a column."""
    import pyarrow

    if not pyarrow.types.is_integer(file.schema_arrow.field(name).type):
        return False
    values = np.asarray(file.read(columns=[name])[name].drop_null(), np.int64)
    return bool((np.diff(values) > 0).all())


def _is_binary(file: Any, name: str) -> bool:
    """Whether a column of numbers holds nothing but 0, 1 and -1, or true and false, and gaps."""
    values = np.asarray(file.read(columns=[name])[name].drop_null().cast("float64"))
    return bool(np.isin(values, (0, 1, -1)).all())


def _value_type(kind: pyarrow.DataType) -> pyarrow.DataType:
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    return kind


def _list_lengths(column: pyarrow.Array, where: str) -> tuple[int, int]:
    """The views and the numbers of each in the first row of a column of lists."""
    cell = column[0].as_py()
    if not isinstance(cell, list):
        raise InputError(f"{where}, row 1", f"features is {cell!r}", "a list of numbers", "write lists")
    if not cell or not isinstance(cell[0], list):
        return 1, len(cell)
    return len(cell), len(cell[0])


def _list_values(column: pyarrow.Array, views: int, numbers: int, start: int, where: str) -> np.ndarray:
    """A column of lists as (B, V, D); InputError names the first row of another length."""
    import pyarrow.compute as compute

    count = len(column)
    depth = (views, numbers) if hasattr(column.type.value_type, "value_type") else (numbers,)
    values, per_row = column, 1
    for length in depth:
        lengths = np.asarray(compute.fill_null(compute.list_value_length(values), 0))
        if (lengths != length).any():
            position = int(np.argmax(lengths != length))
            raise InputError(
                f"{where}, row {start + position // per_row + 1}",
                f"a list of {lengths[position]} in features",
                f"{length}, as in row 1",
                "give every row the same number of views and of numbers",
            )
        values, per_row = values.flatten(), per_row * length
    return values.to_numpy(zero_copy_only=False).astype(np.float64).reshape(count, views, numbers)


def _filled(cells: Cells, role: str, where: str) -> list[str] | None:
    """A column of text without blanks around it, None if there is no such column."""
    if not cells.has(role):
        return None
    texts = ["" if cell is None else str(cell).strip() for cell in cells.column(role).to_pylist()]
    if "" in texts:
        raise InputError(f"{where}, row {texts.index('') + 1}", f"{role} is empty", f"a {role} in every row", "fill it")
    return texts
