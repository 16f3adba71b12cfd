"""Tables as JSONL: an object per line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from bmix.sources.cells import Cells
from bmix.sources.column_names import LISTS, ROLES, TEXTS, find_roles, form_note
from bmix.sources.table.columns import BATCH, Columns, text_array
from bmix.support.errors import InputError

TEXT, NAMES, NUMBERS, EMPTY = "text", "a list of names", "a list of numbers", "an empty list"


def read_jsonl(file: TextIO, path: Path) -> Cells:
    """An object per line; blank lines are accepted, and a key that a line lacks is a missing cell.

    The first object says which key has which role; a key under a role's exact name may come later.
    """
    columns = Columns(path, [])
    position_of: dict[str, int] = {}
    kinds: dict[str, str] = {}
    batch: dict[str, list[Any]] = {}
    numbers: list[int] = []
    seen: dict[str, None] = {}
    roles: dict[str, str] = {}
    role_of: dict[str, str] = {}

    def flush() -> None:
        for name in batch:
            if name not in position_of:
                position_of[name] = columns.add_name(name)
        arrays = {}
        for name, values in batch.items():
            values.extend([None] * (len(numbers) - len(values)))
            arrays[position_of[name]] = _json_array(values, role_of.get(name), kinds.get(name, TEXT))
        if numbers:
            columns.add(arrays, numbers)
        batch.clear()
        numbers.clear()

    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        record = _json_object(line, where)
        if not seen:
            roles = find_roles(list(record), str(path))
            role_of = {name: role for role, name in roles.items()}
        only_known = roles.get("labels") == "labels"
        for name, value in record.items():
            if name not in seen and name in ROLES and name not in roles:
                roles[name] = role_of[name] = name
            seen[name] = None
            if name in role_of or not only_known:
                cell = _json_cell(name, role_of.get(name), value, where, kinds)
                cells = batch.setdefault(name, [])
                if len(cells) < len(numbers):
                    cells.extend([None] * (len(numbers) - len(cells)))
                cells.append(cell)
        numbers.append(number)
        if len(numbers) == BATCH:
            flush()
    flush()
    return columns.cells(list(seen), roles, form_note(roles))


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
        raise ValueError(f'key "{next(name for name in names if names.count(name) > 1)}" is duplicated')
    return record


# json.loads with a hook makes a decoder for every line.
_DECODER = json.JSONDecoder(object_pairs_hook=_pairs)


def _json_cell(name: str, role: str | None, value: Any, where: str, kinds: dict[str, str]) -> Any:
    """Text, a list of text or of numbers, or None; InputError if the column cannot hold this value."""
    if value is None or (isinstance(value, str) and role not in LISTS):
        return value
    if role in LISTS:
        kind = _kind(value)
        if kind is None:
            raise InputError(
                where, f"{name} is {_shown(value)}", 'a list of names, e.g. ["cat", "dog"], or one text', "correct it"
            )
        known = kinds.setdefault(name, kind)
        if known == EMPTY and kind != TEXT:
            kinds[name] = known = kind
        if kind not in (known, EMPTY) or (kind == EMPTY and known == TEXT):
            raise InputError(
                where,
                f"{name} is {_shown(value)}, {'text' if kind == TEXT else 'a list'}, unlike in the rows before",
                "lists in every row, or text in every row",
                "write lists of names in every row",
            )
        return value
    if role in TEXTS and (isinstance(value, bool) or not isinstance(value, int)):
        raise InputError(where, f"{name} is {_shown(value)}", "text in quotes", "correct it")
    return json.dumps(value) if not isinstance(value, (list, dict)) else _shown(value)


def _kind(value: Any) -> str | None:
    if isinstance(value, str):
        return TEXT
    if not isinstance(value, list):
        return None
    if all(isinstance(part, str) for part in value):
        return NAMES if value else EMPTY
    return NUMBERS if all(isinstance(part, (int, float)) for part in value) else None


def _json_array(values: list[Any], role: str | None, kind: str) -> pa.Array:
    if kind == NUMBERS:
        return pa.array(values, pa.list_(pa.float64()))
    return text_array(values, coded=role is None) if kind == TEXT else pa.array(values, pa.list_(pa.string()))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
