"""Tables as files: CSV, TSV, parquet and JSONL as columns of cells, and the place where each row was read."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bmix.sources.table.columns import BATCH, KNOWN, Cells, Columns, origins, text_array
from bmix.sources.table.jsonl import read_jsonl
from bmix.support.errors import InputError

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
FORMATS = {".csv": "CSV", ".tsv": "TSV", ".tab": "TSV", ".parquet": "parquet", ".jsonl": "JSONL", ".ndjson": "JSONL"}


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
    try:
        with path.open(encoding="utf-8-sig", newline="" if suffix in DELIMITERS else None) as file:
            return _read_csv(file, path, DELIMITERS[suffix]) if suffix in DELIMITERS else read_jsonl(file, path)
    except UnicodeDecodeError as error:
        raise encoding_error(path) from error
    except OSError as error:
        raise InputError(str(path), f"not readable: {error}", "a file of text", "check the file") from error


def _read_csv(file: TextIO, path: Path, delimiter: str) -> Cells:
    """The cells as text. Byte order mark, Windows line ends and blank lines are accepted."""
    reader = csv.reader(file, strict=True, delimiter=delimiter)
    header: list[str] = []
    wanted: list[int] = []
    columns = Columns(path, [])
    rows: list[list[str]] = []
    numbers: list[int] = []

    def flush() -> None:
        if rows:
            cells = list(zip(*rows, strict=True))
            batch = {i: text_array(cells[at], coded=header[at] not in KNOWN) for i, at in enumerate(wanted)}
            columns.add(batch, numbers)
            rows.clear()
            numbers.clear()

    start = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        _refuse_repeated(header, path)
        wanted = [i for i, name in enumerate(header) if name in KNOWN or (name and "labels" not in header)]
        columns = Columns(path, [header[position] for position in wanted])
        start = reader.line_num + 1
        for row in reader:
            if row and len(row) != len(header):
                raise _ragged(f"{path}, line {reader.line_num}", len(row), len(header), delimiter)
            if row:
                rows.append(row)
                numbers.append(reader.line_num)
                if len(rows) == BATCH:
                    flush()
            start = reader.line_num + 1
    except csv.Error as error:
        name = FORMATS[path.suffix.lower()]
        raise InputError(
            f"{path}, line {start}",
            f"not readable as {name}: {error}",
            f"{name} in UTF-8; a quote that opens a cell closes it in the same row",
            'look in this row and below it for a quote that is not closed, and write " inside a quoted cell as ""',
        ) from error
    flush()
    return columns.cells(header)


def _ragged(where: str, found: int, expected: int, delimiter: str) -> InputError:
    between, example = ("tabs", "cat\tdog") if delimiter == "\t" else ("commas", "cat,dog")
    return InputError(
        where,
        f"{found} cells",
        f"{expected}, as in the header",
        f'add or remove {between}; put a cell that holds {between} in quotes: "{example}"',
    )


def _refuse_repeated(names: list[str], path: Path) -> None:
    compared = KNOWN if "labels" in names else [name for name in names if name]
    repeated = [name for name in compared if names.count(name) > 1]
    if repeated:
        raise InputError(str(path), f"column {repeated[0]} stands there twice", "each column once", "remove one")


def _read_parquet(path: Path) -> Cells:
    try:
        names = list(pq.read_schema(path).names)
        _refuse_repeated(names, path)
        # pandas stores an index without a name under such a one.
        others = [] if "labels" in names else [name for name in names if not name.startswith("__index_level_")]
        table = pq.read_table(path, columns=[name for name in names if name in KNOWN or name in others])
        table.validate(full=True)
    except InputError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(str(path), f"not readable as parquet: {error}", "a parquet file", "write it anew") from error
    return Cells(table, origins(path, "row", np.arange(1, len(table) + 1)), names)


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
