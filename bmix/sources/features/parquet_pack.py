"""Features in a parquet table: a column of lists, or a column per number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bmix.data.manifest import label_matrix
from bmix.sources.features.pack import Pack, refuse_nothing
from bmix.support.errors import InputError, nearest

if TYPE_CHECKING:
    import pyarrow

KNOWN = ["id", "labels", "ignore", "split", "path"]
DELIMITERS = [";", "|", ","]
TABLE_ROWS = 4096


@contextmanager
def open_parquet_pack(path: Path) -> Iterator[Pack]:
    """Open a .parquet of features; inside the block every fault of the file is an InputError."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield _pack(file, str(path))
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(
            str(path), f"not readable as parquet: {error}", "a parquet file of features", "write it anew"
        ) from error


def _pack(file: Any, where: str) -> Pack:
    schema = file.schema_arrow
    columns = _feature_columns(schema, where)
    if "labels" not in schema.names:
        raise InputError(
            where,
            f"no column labels; columns found: {', '.join(schema.names)}",
            "the features and labels, optional id, split, ignore",
            f"rename or add the column.{nearest('labels', schema.names)}",
        )
    count = file.metadata.num_rows
    refuse_nothing(where, (count, 1, len(columns)))
    cells = {name: file.read(columns=[name])[name].to_pylist() for name in KNOWN if name in schema.names}
    delimiter = _delimiter([*cells["labels"], *cells.get("ignore", [])])
    lists = {name: [_names(cell, delimiter) for cell in cells.get(name, [None] * count)] for name in KNOWN[1:3]}
    classes = sorted({name for row in lists["labels"] for name in row})
    _refuse_unknown(lists["ignore"], classes, where)
    labels_NK = label_matrix(lists["labels"], classes).astype(np.int8)
    ignored_NK = label_matrix(lists["ignore"], classes).astype(bool)
    both = (labels_NK == 1) & ignored_NK
    if both.any():
        row, column = np.argwhere(both)[0]
        raise InputError(
            f"{where}, row {row + 1}", f'"{classes[column]}" in labels and in ignore', "one of them", "remove one"
        )
    labels_NK[ignored_NK] = -1
    ids = _filled(cells, "id", where) or [f"{row:0{len(str(count))}d}" for row in range(1, count + 1)]
    views, numbers = 1, len(columns)
    types = {schema.field(name).type for name in columns}
    if columns == ["features"]:
        first = next(file.iter_batches(1, columns=columns))
        views, numbers = _list_lengths(first.column(0), where)
        types = {_value_type(schema.field("features").type)}
    refuse_nothing(where, (count, views, numbers))

    def chunks() -> Iterator[np.ndarray]:
        start = 0
        for batch in file.iter_batches(TABLE_ROWS, columns=columns):
            if columns == ["features"]:
                yield _list_values(batch.column(0), views, numbers, start, where)
            else:
                values = [batch.column(name).to_numpy(zero_copy_only=False) for name in columns]
                yield np.stack([value.astype(np.float64) for value in values], 1)[:, None]
            start += len(batch)

    kept_type = np.dtype(np.float16 if {str(one) for one in types} == {"halffloat"} else np.float32)
    return Pack(
        where, (count, views, numbers), kept_type, labels_NK, classes, ids, _filled(cells, "split", where), chunks
    )


def _feature_columns(schema: pyarrow.Schema, where: str) -> list[str]:
    """The one column of lists, or the columns of numbers in their order."""
    import pyarrow.types as kinds

    if "features" in schema.names:
        return ["features"]

    def numeric(name: str) -> bool:
        kind = schema.field(name).type
        return bool(kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind))

    numbered = sorted((name for name in schema.names if re.fullmatch(r"f\d+", name)), key=lambda name: int(name[1:]))
    columns = numbered or [name for name in schema.names if name not in KNOWN and numeric(name)]
    if not columns or not all(numeric(name) for name in columns) or len(set(schema.names)) != len(schema.names):
        raise InputError(
            where,
            f"no features among the columns {', '.join(schema.names)}",
            "a column features of lists, or columns of numbers, each with a name of its own",
            "write the features as such",
        )
    absent = [f"f{number}" for number in range(len(numbered)) if f"f{number}" not in numbered]
    if absent:
        raise InputError(where, f"no column {absent[0]}", f"f0 to f{len(numbered) - 1}", "write every column")
    return columns


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


def _delimiter(cells: list[Any]) -> str:
    texts = [cell for cell in cells if isinstance(cell, str)]
    return next((sign for sign in DELIMITERS if any(sign in text for text in texts)), "")


def _names(cell: Any, delimiter: str) -> list[str]:
    if cell is None:
        return []
    parts = [str(name) for name in cell if name is not None] if isinstance(cell, list) else [str(cell)]
    if isinstance(cell, str) and delimiter:
        parts = cell.split(delimiter)
    return [name for part in parts if (name := part.strip())]


def _refuse_unknown(lists: list[list[str]], classes: list[str], where: str) -> None:
    known = set(classes)
    for position, row in enumerate(lists):
        if unknown := [name for name in row if name not in known]:
            raise InputError(
                f"{where}, row {position + 1}",
                f'ignore: "{unknown[0]}" is the label of no row',
                "a class that some row is labelled with",
                f"correct the name.{nearest(unknown[0], classes)}",
            )


def _filled(cells: dict[str, list[Any]], name: str, where: str) -> list[str] | None:
    """A column of text without blanks around it, None where there is no such column."""
    if name not in cells:
        return None
    texts = ["" if cell is None else str(cell).strip() for cell in cells[name]]
    if "" in texts:
        raise InputError(f"{where}, row {texts.index('') + 1}", f"{name} is empty", f"a {name} in every row", "fill it")
    return texts
