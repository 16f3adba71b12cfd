"""The label cells of a table, whichever way they are written, as one sparse form: a (row, name) pair per label."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bmix.data.manifest import quoted
from bmix.sources.label_cells.entries import Entries
from bmix.sources.table.columns import KNOWN, LABEL_COLUMNS, Cells
from bmix.support.errors import InputError, nearest

DELIMITERS = [";", "|", ","]
PRESENT, ABSENT, IGNORED, OTHER = 1, 0, -1, 2
MEANING = {
    **dict.fromkeys(["1", "1.0", "true"], PRESENT),
    **dict.fromkeys(["0", "0.0", "false"], ABSENT),
    **dict.fromkeys(["-1", "-1.0", "", "nan"], IGNORED),
}
"""What the cell of a 0/1 column says, in small letters and without blanks around it."""


def listed_labels(cells: Cells, where: str) -> tuple[dict[str, Entries], str]:
    """The columns labels and ignore, and how they are written, for the notes.

    Text cells are names joined by one delimiter, the same in the whole file, or lists in brackets as JSON and Python
    write them. Raises InputError for both ; and | in one file, a list that cannot be read, a list beside cells that are
    none, and a type of parquet that holds no names.
    """
    present = [name for name in LABEL_COLUMNS if name in cells.columns.column_names]
    columns = {name: _text_or_lists(cells.columns[name], name, where) for name in present}
    texts = {name: column for name, column in columns.items() if not _is_list(column.type)}
    bracketed = any(_any(pc.starts_with(pc.utf8_ltrim_whitespace(column), "[")) for column in texts.values())
    delimiter = "" if bracketed else _delimiter(list(texts.values()), where)
    entries = {}
    for name, column in columns.items():
        if _is_list(column.type):
            entries[name] = _of_lists(column)
        elif bracketed:
            entries[name] = _of_brackets(column, name, cells.origins)
        else:
            lists = pc.split_pattern(column, delimiter) if delimiter else None
            entries[name] = _of_lists(lists) if lists else _coded(np.arange(len(column)), column)
    how = "lists in brackets" if bracketed else f'names joined by "{delimiter}"' if delimiter else ""
    return entries, how


def class_columns(cells: Cells, listed: list[str], where: str) -> tuple[Entries, Entries, list[str], list[str]]:
    """The labels and the ignored classes of a table with one 0/1 column per class; the classes; what was left alone.

    A column counts as a class where every cell is 0, 1, true, false, -1 or empty, the last two: ignored. listed: the
    names of classes.txt; where there are any, no other column is looked at.
    Raises InputError for another value in a column that mostly holds 0 and 1, naming row, column and value.
    """
    columns = cells.columns
    candidates = [name for name in columns.column_names if name not in KNOWN]
    classes, left = [], [name for name in candidates if listed and name not in listed]
    present, ignored = [], []
    for name in (name for name in candidates if not listed or name in listed):
        meaning_N, text = _meanings(columns[name])
        known = np.isin(meaning_N, (PRESENT, ABSENT)).sum()
        other = np.flatnonzero(meaning_N == OTHER)
        if len(other) and known > len(other):
            raise InputError(
                str(cells.origins[other[0]]),
                f'column "{name}" holds "{text(int(other[0]))}", and 0 or 1 in most rows',
                "0, 1, true or false; -1 or nothing where it is not known",
                "correct the cell; where the column is no class, remove it or name the classes in classes.txt",
            )
        if len(other) or not known:
            left.append(name)
            continue
        present.append(np.flatnonzero(meaning_N == PRESENT))
        ignored.append(np.flatnonzero(meaning_N == IGNORED))
        classes.append(name)
    if not classes or nearest("labels", left):
        _refuse_no_labels(cells, where)
    return _of_columns(present, classes), _of_columns(ignored, classes), classes, left


def _refuse_no_labels(cells: Cells, where: str) -> None:
    hint = nearest("labels", cells.names).replace("Did you mean", "Is it")
    raise InputError(
        where,
        f"no column labels, and not one 0/1 column per class instead; columns found: {quoted(cells.names)}",
        "columns path and labels, or path and a 0/1 column per class; optional id, split, ignore",
        f"rename or add the column.{hint}",
    )


def _any(mask: pa.ChunkedArray) -> bool:
    return bool(pc.any(mask).as_py())


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _text_or_lists(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    """The column as text or as lists of text; InputError where it is neither."""
    kind = column.type
    inner = kind.value_type if _is_list(kind) or pa.types.is_dictionary(kind) else kind
    nameable = pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_null(inner)
    if not nameable and not (_is_list(kind) and pa.types.is_integer(inner)):
        raise InputError(where, f"column {name} holds values of type {kind}", "text or lists of text", "convert it")
    return column.cast(pa.list_(pa.string()) if _is_list(kind) else pa.string())


def _delimiter(columns: list[pa.ChunkedArray], where: str) -> str:
    """What joins the names in the text cells of this file: ; or | where one occurs, else the comma; '' without any."""
    found = [mark for mark in DELIMITERS if any(_any(pc.match_substring(column, mark)) for column in columns)]
    if ";" in found and "|" in found:
        raise InputError(where, 'both ";" and "|" in labels', "one of them between the names", "replace one of them")
    return found[0] if found else ""


def _of_lists(column: pa.ChunkedArray) -> Entries:
    """Entries of lists of text; empty names and nulls count for nothing."""
    lengths_N = np.asarray(pc.list_value_length(column).fill_null(0))
    return _coded(np.repeat(np.arange(len(column)), lengths_N), pc.list_flatten(column))


def _coded(rows: np.ndarray, values: pa.ChunkedArray) -> Entries:
    """Entries of one text per pair, without blanks around it; a null or empty one counts for nothing."""
    encoded = values.dictionary_encode().unify_dictionaries()
    texts = encoded.chunk(0).dictionary.to_pylist() if encoded.num_chunks else []
    indices = [np.asarray(chunk.indices.fill_null(len(texts))) for chunk in encoded.chunks]
    codes_of, found = pd.factorize(np.array(["", *(text.strip() for text in texts), ""], dtype=object))
    codes = codes_of[1:][np.concatenate([np.zeros(0, np.int64), *indices]).astype(np.int64)]
    return Entries(rows[codes > 0], codes[codes > 0] - 1, list(found[1:]))


def _of_brackets(column: pa.ChunkedArray, name: str, origins: pd.Index) -> Entries:
    encoded = column.combine_chunks().dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    cell_N = np.asarray(encoded.indices.fill_null(len(texts)))
    parsed = []
    with warnings.catch_warnings():
        # Python warns of a backslash in a text that it reads; here the text is a person's data.
        warnings.simplefilter("ignore")
        for number, text in enumerate(texts):
            names = _bracketed(text)
            if names is None:
                raise InputError(
                    str(origins[int(np.argmax(cell_N == number))]),
                    f"{name}: {text[:60]} is not a list of names, and other cells are lists in brackets",
                    'a list of texts in quotes, e.g. ["cat", "dog"], in every row',
                    "correct the cell, or write cat;dog without brackets in every row",
                )
            parsed.append(names)
    of_text = _of_lists(pa.chunked_array([pa.array([*parsed, []], pa.list_(pa.string()))]))
    counts = np.bincount(of_text.rows, minlength=len(texts) + 1)
    starts = np.cumsum(counts) - counts
    counts_N = counts[cell_N]
    rows = np.repeat(np.arange(len(cell_N)), counts_N)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts_N) - counts_N, counts_N)
    return Entries(rows, of_text.codes[np.repeat(starts[cell_N], counts_N) + within], of_text.names)


def _bracketed(text: str) -> list[str] | None:
    """The names of a list as JSON or Python write it, none for a blank text; None where it is neither."""
    text = text.strip()
    if not text:
        return []
    if not (text.startswith("[") and text.endswith("]")):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            names = parse(text)
            "".join(names).encode()
            return names if isinstance(names, list) else None
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return None


def _meanings(column: pa.ChunkedArray) -> tuple[np.ndarray, Callable[[int], str]]:
    """What each cell of a possible 0/1 column says, int8 (N,) of MEANING or OTHER, and the text of a cell."""
    parts = [_chunk_meanings(chunk) for chunk in column.chunks]
    return np.concatenate([np.zeros(0, np.int8), *parts]), lambda row: str(column[row].as_py())


def _chunk_meanings(chunk: pa.Array) -> np.ndarray:
    if pa.types.is_nested(chunk.type) and not pa.types.is_dictionary(chunk.type):
        return np.full(len(chunk), OTHER, np.int8)
    encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
    texts = (str(value).strip().lower() for value in encoded.dictionary.to_pylist())
    meaning_of = np.array([*(MEANING.get(text, OTHER) for text in texts), IGNORED], np.int8)
    return meaning_of[np.asarray(encoded.indices.cast(pa.int64()).fill_null(len(meaning_of) - 1))]


def _of_columns(rows: list[np.ndarray], classes: list[str]) -> Entries:
    codes = np.repeat(np.arange(len(classes)), [len(part) for part in rows])
    return Entries(np.concatenate([np.zeros(0, np.int64), *rows]), codes, classes)
