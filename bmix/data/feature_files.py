"""The two forms of a file of features, each opened as a Pack: everything but the numbers, and these by chunks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bmix.data.manifest import label_matrix
from bmix.data.npz import Archive, open_npz
from bmix.errors import InputError, nearest

if TYPE_CHECKING:
    import pyarrow

KNOWN = ["id", "labels", "ignore", "split", "path"]
DELIMITERS = [";", "|", ","]
TABLE_ROWS = 4096


@dataclass(frozen=True)
class Pack:
    """A file of features that is open.

    shape: (N, V, D). dtype: float16 where the file holds that, else float32. labels_NK: int8 of 0, 1, -1. parts: what
    the file says of each row's split, None where it says nothing. chunks: gives the numbers by chunks (B, V, D).
    """

    where: str
    shape: tuple[int, int, int]
    dtype: np.dtype
    labels_NK: np.ndarray
    classes: list[str]
    ids: list[str]
    parts: list[str] | None
    chunks: Callable[[], Iterator[np.ndarray]]


@contextmanager
def open_pack(path: Path) -> Iterator[Pack]:
    """Open an .npz or .parquet of features; inside the block every fault of the file is an InputError."""
    if not path.is_file():
        raise InputError("data.path", f"{path} is not a file", "an .npz or .parquet of features", "correct data.path")
    if path.suffix.lower() == ".npz":
        with open_npz(path) as archive:
            yield _npz_pack(archive, str(path))
    elif path.suffix.lower() == ".parquet":
        with _open_parquet(path) as table:
            yield table
    else:
        raise InputError("data.path", f"{path} is no .npz and no .parquet", "a file of features", "correct data.path")


def _npz_pack(archive: Archive, where: str) -> Pack:
    for name in ("X", "Y"):
        if name not in archive.names:
            raise InputError(
                where,
                f"no array {name}; arrays found: {', '.join(archive.names) or 'none'}",
                "X (N, D) or (N, V, D), and Y (N, K)",
                f"save it as {name}.{nearest(name, archive.names)}",
            )
    shape, dtype = archive.header("X")
    if len(shape) not in (2, 3) or dtype.kind not in "fiub":
        raise InputError(
            f"{where}, X", f"{dtype} {shape}", "numbers in the shape (N, D) or (N, V, D)", "reshape or convert it"
        )
    count, views, numbers = shape if len(shape) == 3 else (shape[0], 1, shape[1])
    _refuse_nothing(where, (count, views, numbers))
    labels_NK = _labels(archive.read("Y"), count, where)
    classes = _class_names(archive, labels_NK.shape[1], where)
    if "ids" in archive.names:
        ids = _texts(archive, "ids", count, where)
    else:
        ids = [f"{row:0{len(str(count))}d}" for row in range(1, count + 1)]

    def chunks() -> Iterator[np.ndarray]:
        for values in archive.chunks("X"):
            yield values.reshape(len(values), views, numbers)

    kept_type = np.dtype(np.float16 if dtype.kind == "f" and dtype.itemsize == 2 else np.float32)
    parts = _npz_parts(archive, count, where)
    return Pack(where, (count, views, numbers), kept_type, labels_NK, classes, ids, parts, chunks)


def _refuse_nothing(where: str, shape: tuple[int, int, int]) -> None:
    if 0 in shape:
        found = "the data set is empty" if shape[0] == 0 else f"X has the shape (N, V, D) = {shape}"
        raise InputError(where, found, "rows, views and numbers", "check that the right file is named")


def _labels(labels_NK: np.ndarray, count: int, where: str) -> np.ndarray:
    """Y as int8 (N, K) of 0, 1 and -1; InputError where it is anything else."""
    if labels_NK.ndim != 2 or len(labels_NK) != count or labels_NK.shape[1] == 0 or labels_NK.dtype.kind not in "fiub":
        raise InputError(
            f"{where}, Y",
            f"{labels_NK.dtype} {labels_NK.shape}",
            f"0 and 1 in the shape ({count}, K), a row for each of X",
            "write a column per class and a row per instance",
        )
    # A pass per value: isin would hold several copies of the whole.
    wrong_NK = (labels_NK != 0) & (labels_NK != 1) & (labels_NK != -1)
    if wrong_NK.any():
        row, column = np.argwhere(wrong_NK)[0]
        raise InputError(
            f"{where}, row {row + 1}",
            f"Y is {labels_NK[row, column]} in column {column + 1}",
            "0, 1, or -1 for a class that is neither present nor absent",
            "correct the label",
        )
    return labels_NK.astype(np.int8)


def _class_names(archive: Archive, count: int, where: str) -> list[str]:
    name = next((name for name in ("classes", "label_names") if name in archive.names), None)
    if name is None:
        return [str(column) for column in range(count)]
    classes = _texts(archive, name, count, where)
    repeated = [text for position, text in enumerate(classes) if text in classes[:position]]
    if repeated:
        raise InputError(f"{where}, {name}", f'"{repeated[0]}" stands there twice', "each class once", "rename one")
    return classes


def _texts(archive: Archive, name: str, count: int, where: str) -> list[str]:
    """An array of `count` texts, or of whole numbers as texts; none of them empty."""
    values = archive.read(name)
    if values.shape != (count,) or values.dtype.kind not in "Uiu":
        raise InputError(
            f"{where}, {name}", f"{values.dtype} {values.shape}", f"{count} texts, an array of type str", "save it anew"
        )
    texts = [str(value).strip() for value in values.tolist()]
    for position, text in enumerate(texts):
        if not text or not text.isprintable():
            raise InputError(
                f"{where}, {name}, row {position + 1}", f"is {text!r}", "a text that can be shown", "correct it"
            )
    return texts


def _npz_parts(archive: Archive, count: int, where: str) -> list[str] | None:
    """The part of each row, from `split`, else from `n_train`; None without either."""
    if "split" in archive.names:
        texts = _texts(archive, "split", count, where)
        if archive.header("split")[1].kind == "U":
            return texts
        if "split_names" not in archive.names:
            raise InputError(f"{where}, split", "numbers, and no split_names", "the names they count in", "save both")
        names = _texts(archive, "split_names", archive.header("split_names")[0][0], where)
        outside = next((row for row, text in enumerate(texts) if not 0 <= int(text) < len(names)), None)
        if outside is not None:
            raise InputError(
                f"{where}, split, row {outside + 1}",
                f"is {texts[outside]}",
                f"0 to {len(names) - 1}, for the {len(names)} split_names",
                "correct it",
            )
        return [names[int(text)] for text in texts]
    if "n_train" not in archive.names:
        return None
    values = archive.read("n_train")
    if values.size != 1 or values.dtype.kind not in "iu" or not 0 < int(values.flat[0]) <= count:
        raise InputError(f"{where}, n_train", f"is {values}", f"a whole number from 1 to {count}", "correct it")
    train = int(values.flat[0])
    return ["train"] * train + ["test"] * (count - train)


@contextmanager
def _open_parquet(path: Path) -> Iterator[Pack]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield _parquet_pack(file, str(path))
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(
            str(path), f"not readable as parquet: {error}", "a parquet file of features", "write it anew"
        ) from error


def _parquet_pack(file: Any, where: str) -> Pack:
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
    _refuse_nothing(where, (count, 1, len(columns)))
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
    _refuse_nothing(where, (count, views, numbers))

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
