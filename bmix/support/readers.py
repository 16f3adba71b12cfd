"""Files that a stage wrote, read back: what is not as it was written is an InputError with its row or key.

They are outputs of DVC, but people do edit them, and a disk may damage them.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from bmix.support.errors import InputError, listed, quoted, shortened

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow

Kind = Literal["text", "texts", "whole", "wholes", "number", "flag"]

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")


@dataclass(frozen=True)
class Column:
    """What stands in every row of a column: text, whole numbers, numbers or flags, or a list of the first two.

    low, high: of numbers. among: the texts or whole numbers there are. nan: a number may be missing. length: of lists.
    null: a list may be missing, and is None then.
    """

    kind: Kind
    low: float = float("-inf")
    high: float = float("inf")
    among: tuple[Any, ...] = ()
    nan: bool = False
    length: int | None = None
    null: bool = False

    @property
    def is_list(self) -> bool:
        """Whether every row holds a list."""
        return self.kind in ("texts", "wholes")

    @property
    def described(self) -> str:
        """What is expected, in words."""
        if self.among:
            return f"one of {listed(map(str, self.among))}"
        words = {
            "text": "text",
            "texts": "a list of text",
            "wholes": "a list of whole numbers",
            "flag": "true or false",
        }
        if self.kind in words:
            return words[self.kind] + (f" of length {self.length}" if self.length else "")
        name = "a whole number" if self.kind == "whole" else "a number"
        ends = [f"from {self.low:g}"] * (self.low > float("-inf")) + [f"to {self.high:g}"] * (self.high < float("inf"))
        return " ".join([name, *ends]) + (", or nan" if self.nan else "")


@dataclass(frozen=True)
class Made:
    """Where a file comes from: `what` it holds, and the remedy where it does not."""

    what: str
    remedy: str

    @classmethod
    def by_stage(cls, what: str, stage: str) -> Made:
        """An output of a stage, which DVC keeps and can make again."""
        return cls(
            what, f"have it back: dvc checkout --force; or make it again: dvc repro --force --single-item {stage}"
        )

    def refuse(self, where: str | Path, found: str, expected: str = "") -> NoReturn:
        """Raise the InputError."""
        raise InputError(str(where), found, expected or self.what, self.remedy)


def read_json_file(path: Path, made: Made) -> Any:
    """The content of a JSON file; InputError where it is missing, damaged, or not what JSON and Unicode allow."""
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text, parse_constant=_refuse_constant)
        if _SURROGATE.search(text):
            # Half a sign, which could not be written anywhere.
            json.dumps(value, ensure_ascii=False).encode()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        made.refuse(path, "no such file")
    except RecursionError:
        made.refuse(path, "not readable as JSON: nested too deeply")
    except ValueError as error:
        made.refuse(path, f"not readable as JSON: {_reason(error)}")
    return value


def read_object(path: Path, rules: Mapping[str, tuple[str, Callable[[Any], bool]]], made: Made) -> dict[str, Any]:
    """A JSON object with at least the keys of `rules`: for each what is expected, and whether a value is that."""
    content = read_json_file(path, made)
    if not isinstance(content, dict):
        made.refuse(path, f"holds {_kind_of(content)}", f"an object with the keys {listed(rules)}")
    if missing := [key for key in rules if key not in content]:
        made.refuse(path, f"key {missing[0]} is missing", f"the keys {listed(rules)}")
    for key, (expected, fits) in rules.items():
        if not fits(content[key]):
            made.refuse(f"{path}, {key}", f"is {shown(content[key])}", expected)
    return content


def read_table(path: Path, columns: Mapping[str, Column], made: Made, optional: Iterable[str] = ()) -> pd.DataFrame:
    """A .csv or .parquet with these columns, each of its kind, and perhaps with the optional ones; others are left out.

    text: object of str; texts and wholes: object of lists; whole: int64; number: float64; flag: bool.
    """
    if not path.is_file():
        made.refuse(path, "no such file")
    absent_allowed = set(optional)
    frame = _read_csv(path, columns, made) if path.suffix == ".csv" else _read_parquet(path, columns, made)
    if missing := [name for name in columns if name not in frame and name not in absent_allowed]:
        made.refuse(path, f"no column {quoted(missing)}", f"the columns {listed(columns, 20)}")
    wanted = {name: column for name, column in columns.items() if name in frame}
    return _checked(frame[list(wanted)], wanted, path, made)


def shown(value: Any) -> str:
    """A value as a message shows it."""
    return shortened(repr(value))


def _read_csv(path: Path, columns: Mapping[str, Column], made: Made) -> pd.DataFrame:
    """The columns wanted, each cell converted by the kind of its column."""
    import pandas as pd

    rows: list[list[str]] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except (csv.Error, ValueError) as error:
        made.refuse(path, f"not readable as CSV: {_reason(error)}")
    header = rows[0] if rows else []
    if len(set(header)) < len(header):
        made.refuse(path, f"columns {quoted(header)}", "each column once")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            made.refuse(f"{path}, line {number}", f"{len(row)} cells", f"{len(header)}, as in the header")
    found: dict[str, Any] = {}
    for place, name in enumerate(header):
        if name in columns:
            cells = (_converted(row[place], columns[name].kind) for row in rows[1:])
            found[name] = pd.Series(list(cells), dtype=object)
    return pd.DataFrame(found)


def _converted(cell: str, kind: Kind) -> Any:
    """The value of a cell; the cell as it stands where it is none, which no column of numbers lets pass."""
    if kind == "whole" and _WHOLE.fullmatch(cell):
        return int(cell)
    if kind == "number" and cell.isascii():
        try:
            return float(cell)
        except ValueError:
            return cell
    return cell


def _read_parquet(path: Path, columns: Mapping[str, Column], made: Made) -> pd.DataFrame:
    import pandas as pd
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if twice := [name for name in columns if names.count(name) > 1]:
                made.refuse(path, f"column {twice[0]} is duplicated")
            table = file.read(columns=[name for name in columns if name in names])
            for name in table.column_names:
                if not is_kind(table.schema.field(name).type, columns[name].kind):
                    found = f"column {name} holds {table.schema.field(name).type}"
                    made.refuse(path, found, f"{columns[name].described} in each row")
            frame = table.drop_columns([name for name in table.column_names if columns[name].is_list]).to_pandas()
            for name in table.column_names:
                if columns[name].is_list:
                    frame[name] = pd.Series(_lists(table[name], name, columns[name], path, made), dtype=object)
            return frame
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, LookupError, OverflowError, MemoryError) as error:
        made.refuse(path, f"not readable as parquet: {_reason(error)}")


def is_kind(of: Any, kind: Kind) -> bool:
    """Whether a pyarrow type is that of a column of this kind."""
    import pyarrow.types as kinds

    if kinds.is_null(of):
        # A column of nothing, of which the rows tell whether that is allowed.
        return True
    if kind in ("texts", "wholes"):
        return bool(kinds.is_list(of)) and is_kind(of.value_type, "text" if kind == "texts" else "whole")
    tests: dict[str, Callable[[Any], bool]] = {
        "text": lambda one: kinds.is_string(one) or kinds.is_large_string(one),
        "whole": kinds.is_integer,
        "number": lambda one: kinds.is_floating(one) or kinds.is_integer(one),
        "flag": kinds.is_boolean,
    }
    return bool(tests[kind](of))


def _checked(frame: pd.DataFrame, columns: Mapping[str, Column], path: Path, made: Made) -> pd.DataFrame:
    import numpy as np

    for name, column in columns.items():
        cells = frame[name]
        if column.is_list:
            continue
        if cells.dtype == object and column.kind in ("whole", "number"):
            no_number = [isinstance(cell, str) or cell is None for cell in cells]
            _refuse_first(np.array(no_number, dtype=bool), frame, name, column, path, made)
        if column.kind != "number" or not column.nan:
            _refuse_first(cells.isna(), frame, name, column, path, made)
        if column.among:
            _refuse_first(~cells.isin(column.among), frame, name, column, path, made)
        if column.kind in ("whole", "number"):
            cells = cells.astype("int64" if column.kind == "whole" else "float64")
            outside = (cells < column.low) | (cells > column.high) | cells.isin([float("inf"), float("-inf")])
            _refuse_first(outside, frame, name, column, path, made)
        frame = frame.assign(**{name: cells.astype(object) if column.kind == "text" else cells})
    return frame


def _lists(cells: pyarrow.ChunkedArray, name: str, column: Column, path: Path, made: Made) -> list[list[Any] | None]:
    """The lists of a column, whose parts have their type already: InputError for nulls, lengths and small numbers."""
    import pyarrow.compute as compute
    from pyarrow.types import is_null

    if is_null(cells.type) and column.null:
        return [None] * len(cells)
    if is_null(cells.type):
        made.refuse(f"{path}, row 1", f"{name} is None", column.described)
    lists: list[list[Any] | None] = cells.to_pylist()
    parts = compute.list_flatten(cells)
    lengths = compute.list_value_length(cells).drop_null().unique().to_pylist()
    smallest = compute.min(parts).as_py() if column.kind == "wholes" and len(parts) else None
    if (
        (cells.null_count and not column.null)
        or parts.null_count
        or (column.length is not None and any(length != column.length for length in lengths))
        or (smallest is not None and smallest < column.low)
    ):
        row, found = next((row, cell) for row, cell in enumerate(lists) if not _is_fit(cell, column))
        made.refuse(f"{path}, row {row + 1}", f"{name} is {shown(found)}", column.described)
    return lists


def _is_fit(cell: list[Any] | None, column: Column) -> bool:
    if cell is None:
        return column.null
    large = column.kind == "texts" or all(part is not None and part >= column.low for part in cell)
    return large and None not in cell and column.length in (None, len(cell))


def _refuse_first(
    faulty: pd.Series | np.ndarray, frame: pd.DataFrame, name: str, column: Column, path: Path, made: Made
) -> None:
    import numpy as np

    rows = np.flatnonzero(np.asarray(faulty, dtype=bool))
    if len(rows):
        # In a CSV the header is line 1.
        where = f"line {rows[0] + 2}" if path.suffix == ".csv" else f"row {rows[0] + 1}"
        cell = frame[name].iloc[int(rows[0])]
        made.refuse(f"{path}, {where}", f"{name} is {shown(getattr(cell, 'tolist', lambda: cell)())}", column.described)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _kind_of(value: Any) -> str:
    names = {list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "nothing")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
