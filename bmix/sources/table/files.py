"""Tables as files: CSV, TSV, parquet and JSONL as columns of cells, and the place where each row was read."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bmix.sources.cells import Cells, origins
from bmix.sources.column_names import find_roles, form_note, is_index
from bmix.sources.parquet_notes import class_names, holds_pictures, index_names
from bmix.sources.table.columns import BATCH, Columns, text_array
from bmix.sources.table.jsonl import read_jsonl
from bmix.support.errors import InputError

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
SEPARATOR_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "|"}
FORMATS = {".csv": "CSV", ".tsv": "TSV", ".tab": "TSV", ".parquet": "parquet", ".jsonl": "JSONL", ".ndjson": "JSONL"}
_BINARY = {
    b"PK\x03\x04": "a zip archive, as .xlsx files are",
    b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls)",
    b"PAR1": "a parquet file",
    b"\x1f\x8b": "a gzip archive",
}
"""What a file is by its first bytes."""
_EXCEL = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""The first line by which Excel says what separates the columns."""


def read_cells(path: Path) -> Cells:
    """Read a table by its suffix; InputError for a file that is missing or malformed, with the line where it is."""
    if not path.is_file():
        raise InputError("data.path", f"{path} is not a file", "a CSV, TSV, parquet or JSONL file", "correct data.path")
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise InputError(
            "data.path", f"{path} ends in {suffix or 'no suffix'}", ", ".join(FORMATS), "save the table as one of these"
        )
    if suffix == ".parquet":
        return _read_parquet(path)
    _refuse_binary(path)
    try:
        with path.open(encoding="utf-8-sig", newline="" if suffix in SEPARATORS else None) as file:
            return _read_csv(file, path, SEPARATORS[suffix]) if suffix in SEPARATORS else read_jsonl(file, path)
    except UnicodeDecodeError as error:
        raise encoding_error(path) from error
    except OSError as error:
        raise InputError(str(path), f"not readable: {error}", "a file of text", "check the file") from error


def _refuse_binary(path: Path) -> None:
    """InputError for a spreadsheet, an archive or a parquet file under the name of a text file."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError:
        return  # The reader says why.
    if kind := _BINARY.get(start) or _BINARY.get(start[:2]):
        raise InputError(
            str(path),
            f"{kind}, not text",
            "a table in UTF-8",
            f"save it as {FORMATS[path.suffix.lower()]}, or rename it",
        )


def _read_csv(file: TextIO, path: Path, usual: str) -> Cells:
    """The cells as text. Byte order mark, Windows line ends, blank lines and another separator are accepted."""
    lines, separator, skipped = _separator(file, path, usual)
    reader = csv.reader(lines, strict=True, delimiter=separator)
    header: list[str] = []
    wanted: list[int] = []
    roles: dict[str, str] = {}
    columns = Columns(path, [])
    rows: list[list[str]] = []
    numbers: list[int] = []

    def flush() -> None:
        if rows:
            cells = list(zip(*rows, strict=True))
            named = roles.values()
            batch = {i: text_array(cells[at], coded=header[at] not in named) for i, at in enumerate(wanted)}
            columns.add(batch, numbers)
            rows.clear()
            numbers.clear()

    start = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        roles = find_roles(header, str(path))
        _refuse_repeated(header, roles, path)
        wanted = [position for position, name in enumerate(header) if _is_wanted(name, roles)]
        columns = Columns(path, [header[position] for position in wanted])
        start = reader.line_num + 1
        for row in reader:
            if row and len(row) != len(header):
                raise _ragged(f"{path}, line {reader.line_num + skipped}", len(row), len(header), separator)
            if row:
                rows.append(row)
                numbers.append(reader.line_num + skipped)
                if len(rows) == BATCH:
                    flush()
            start = reader.line_num + 1
    except csv.Error as error:
        name = FORMATS[path.suffix.lower()]
        raise InputError(
            f"{path}, line {start + skipped}",
            f"not readable as {name}: {error}",
            f"{name} in UTF-8; a quote that opens a cell closes it in the same row",
            'look in this row and below it for a quote that is not closed, and write " inside a quoted cell as ""',
        ) from error
    flush()
    form = [f"columns separated by {SEPARATOR_NAMES.get(separator, separator)}"] if separator != usual else []
    form += [note] if (note := form_note(roles, list(filter(is_index, header)))) else []
    return columns.cells(header, roles, ", ".join(form))


def _separator(file: TextIO, path: Path, usual: str) -> tuple[Iterator[str], str, int]:
    """All lines, what separates the cells, and how many lines before these were taken off.

    The usual separator, unless another one alone makes a column of paths out of the first line.
    """
    first = next(file, "")
    if marked := _EXCEL.fullmatch(first):
        return file, marked[1], 1
    lines = chain([first], file)
    for separator in (usual, *(other for other in SEPARATOR_NAMES if other != usual)):
        names = [name.strip().strip('"') for name in first.rstrip("\r\n").split(separator)]
        if len(names) > 1 and "path" in _roles_or_none(names, path):
            return lines, separator, 0
    return lines, usual, 0


def separator_of(path: Path, usual: str) -> tuple[str, int]:
    """What separates the cells of a table of text, and how many lines stand before its header."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        _, separator, skipped = _separator(file, path, usual)
    return separator, skipped


def _roles_or_none(names: list[str], path: Path) -> dict[str, str]:
    try:
        return find_roles(names, str(path))
    except InputError:
        # Two columns that may be the path are columns, separated rightly.
        return {"path": ""}


def _is_wanted(name: str, roles: dict[str, str]) -> bool:
    """Whether a column's cells are kept: those with a role, and all others where the labels may be among them."""
    return name in roles.values() or (roles.get("labels") != "labels" and not is_index(name))


def _ragged(where: str, found: int, expected: int, separator: str) -> InputError:
    between = SEPARATOR_NAMES.get(separator, separator)
    return InputError(
        where,
        f"{found} cells",
        f"{expected}, as in the header",
        f'add or remove {between}; put a cell that holds {between} in quotes: "cat{separator}dog"',
    )


def _refuse_repeated(names: list[str], roles: dict[str, str], path: Path) -> None:
    repeated = [name for name in names if _is_wanted(name, roles) and names.count(name) > 1]
    if repeated:
        raise InputError(str(path), f"column {repeated[0]} is duplicated", "each column once", "remove one")


def _read_parquet(path: Path) -> Cells:
    try:
        schema = pq.read_schema(path)
        names = list(schema.names)
        roles = find_roles(names, str(path))
        _refuse_repeated(names, roles, path)
        _refuse_pictures(schema, roles, path)
        indexes = [name for name in index_names(schema) if name not in roles.values()]
        names = [name for name in names if name not in indexes]
        table = pq.read_table(path, columns=[name for name in names if _is_wanted(name, roles)])
        table.validate(full=True)
        table = _with_plain_paths(table, roles)
    except InputError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(str(path), f"not readable as parquet: {error}", "a parquet file", "write it anew") from error
    places = origins(path, "row", np.arange(1, len(table) + 1))
    return Cells(table, places, names, roles, form_note(roles, indexes), class_names(schema))


def _refuse_pictures(schema: pa.Schema, roles: dict[str, str], path: Path) -> None:
    """InputError if the pictures themselves are in the file, as Hugging Face writes them."""
    if "path" in roles and holds_pictures(schema.field(roles["path"]).type):
        raise InputError(
            str(path),
            f"column {roles['path']} holds the pictures themselves, not their paths",
            "paths of image files below data.root",
            "set data.source to parquet, and data.root to any folder of inputs",
        )


def _with_plain_paths(table: pa.Table, roles: dict[str, str]) -> pa.Table:
    """The table with a path in place of a picture that is but a path, as Hugging Face writes it."""
    name = roles.get("path", "")
    kind = table.schema.field(name).type if name else pa.null()
    if not pa.types.is_struct(kind) or kind.get_field_index("path") < 0:
        return table
    return table.set_column(table.column_names.index(name), name, pc.struct_field(table[name], "path"))


def encoding_error(path: Path) -> InputError:
    """Names the line of the first byte that is not UTF-8."""
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return InputError(str(path), "text in UTF-16", "text in UTF-8", "save it as UTF-8")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        line = before.rpartition(b"\n")[2][-20:] + content[error.start : error.start + 12]
        shown = "".join(line.decode("latin-1").splitlines()[:1])
        number = before.count(b"\n") + 1
        return InputError(
            f"{path}, line {number}",
            f'byte 0x{content[error.start]:02x} is not UTF-8 (as Latin-1 it would read "{shown}")',
            "text in UTF-8",
            "save it as UTF-8; spreadsheets call it CSV UTF-8",
        )
    return InputError(str(path), "not readable as UTF-8", "text in UTF-8", "save it as UTF-8")
