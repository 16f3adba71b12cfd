"""Tables as JSONL: an object per line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from bmix.sources.table.columns import BATCH, KNOWN, LABEL_COLUMNS, TEXT_COLUMNS, Cells, Columns, text_array
from bmix.support.errors import InputError


def read_jsonl(file: TextIO, path: Path) -> Cells:
    """An object per line; blank lines are accepted, and a key that a line lacks is a missing cell."""
    columns = Columns(path, [])
    position_of: dict[str, int] = {}
    list_column: dict[str, bool] = {}
    batch: dict[str, list[Any]] = {}
    numbers: list[int] = []
    seen: dict[str, None] = {}

    def flush() -> None:
        for name in batch:
            if name not in position_of:
                position_of[name] = columns.add_name(name)
        arrays = {}
        for name, values in batch.items():
            values.extend([None] * (len(numbers) - len(values)))
            arrays[position_of[name]] = _json_array(name, values, list_column.get(name, False))
        if numbers:
            columns.add(arrays, numbers)
        batch.clear()
        numbers.clear()

    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        record = _json_object(line, where)
        only_known = "labels" in (seen or record)
        seen.update(dict.fromkeys(record))
        for name, value in record.items():
            if name in KNOWN or not only_known:
                cell = _json_cell(name, value, where, list_column)
                cells = batch.setdefault(name, [])
                if len(cells) < len(numbers):
                    cells.extend([None] * (len(numbers) - len(cells)))
                cells.append(cell)
        numbers.append(number)
        if len(numbers) == BATCH:
            flush()
    flush()
    return columns.cells(list(seen))


def _json_object(line: str, where: str) -> dict[str, Any]:
    example = 'an object per line, e.g. {"path": "a.jpg", "labels": ["cat"]}'
    try:
        record = _DECODER.decode(line.strip())
        if "\\u" in line:
            # Half of a surrogate pair is a string in Python, and no text anywhere else.
            json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        # The error's own line counts from this one.
        fault = f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise InputError(where, f"not readable as JSON: {fault}", example, "correct this line") from error
    if not isinstance(record, dict):
        raise InputError(where, f"{_shown(record)} is not an object", example, "write the row as an object")
    return record


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f'key "{next(name for name in names if names.count(name) > 1)}" stands there twice')
    return record


# json.loads with a hook makes a decoder for every line.
_DECODER = json.JSONDecoder(object_pairs_hook=_pairs)


def _json_cell(name: str, value: Any, where: str, list_column: dict[str, bool]) -> Any:
    """Text, a list of text or None; InputError where the column cannot hold this value."""
    if value is None or (isinstance(value, str) and name not in LABEL_COLUMNS):
        return value
    if name in LABEL_COLUMNS:
        is_list = isinstance(value, list)
        if not (isinstance(value, str) or (is_list and all(isinstance(part, str) for part in value))):
            raise InputError(
                where, f"{name} is {_shown(value)}", 'a list of names, e.g. ["cat", "dog"], or one text', "correct it"
            )
        if list_column.setdefault(name, is_list) != is_list:
            raise InputError(
                where,
                f"{name} is {_shown(value)}, {'a list' if is_list else 'text'}, unlike in the rows before",
                "lists in every row, or text in every row",
                "write lists in every row",
            )
        return value
    if name in TEXT_COLUMNS and (isinstance(value, bool) or not isinstance(value, int)):
        raise InputError(where, f"{name} is {_shown(value)}", "text in quotes", "correct it")
    return json.dumps(value) if not isinstance(value, (list, dict)) else _shown(value)


def _json_array(name: str, values: list[Any], lists: bool) -> pa.Array:
    return pa.array(values, pa.list_(pa.string())) if lists else text_array(values, coded=name not in KNOWN)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
