"""Lists of numbers in label cells: a 0 or 1 for every class, or the numbers of classes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bmix.sources.label_cells.entries import NONE, Entries
from bmix.support.errors import InputError

_SIGNS = re.compile(r"[\s,;|/]+")
_DIGITS = re.compile(r"[0-9]{1,9}")
_HOT = {"0", "1", "-1", "0.0", "1.0", "-1.0"}


def of_number_lists(
    column: pa.ChunkedArray, classes: list[str], origins: pd.Index, name: str
) -> tuple[Entries, Entries, str]:
    """The labels and the cells of -1 in lists of numbers, and how they were read.

    classes: as the user listed them; [] if nobody did. Lists of one length with nothing but 0, 1 and -1 hold a value
    for each class, where so many classes are listed. Whole numbers count in the listed classes where these are no
    numbers themselves; else they are names. Raises InputError for lists of 0 and 1 without listed classes, and for
    other numbers.
    """
    lengths_N = np.asarray(pc.list_value_length(column).fill_null(0))
    values_M = _values(column, lengths_N, origins, name)
    rows_M = np.repeat(np.arange(len(lengths_N)), lengths_N)
    given = lengths_N[np.asarray(column.is_valid())]
    length = int(given[0]) if len(given) else 0
    if length > 1 and (given == length).all() and np.isin(values_M, (0, 1, -1)).all() and (values_M < 1).any():
        if len(classes) != length:
            raise _nameless(name, length, classes, origins)
        columns_M = np.arange(len(values_M)) % length
        marked = [Entries(rows_M[values_M == value], columns_M[values_M == value], [*classes]) for value in (1, -1)]
        return marked[0], marked[1], f"lists of {length} values 0 and 1, in the order of the listed classes"
    if not (values_M % 1 == 0).all():
        row = rows_M[np.flatnonzero(values_M % 1 != 0)[0]]
        raise InputError(str(origins[row]), f"{name} holds {values_M[values_M % 1 != 0][0]}", "names", "write names")
    return _named(rows_M, values_M.astype(np.int64), classes), NONE, "lists of numbers"


def lists_in_text(column: pa.ChunkedArray, classes: list[str]) -> pa.ChunkedArray | None:
    """Texts that hold a 0 or 1 for each class, as in 1 0 1 or 101, as lists of numbers; None for any other text.

    classes: as the user listed them; a text that is the name of one is a name.
    """
    encoded = column.combine_chunks().dictionary_encode()
    lists: list[list[float]] = []
    length = 0
    for text in encoded.dictionary.to_pylist():
        parts = _SIGNS.split(text.strip())
        parts = list(text.strip()) if len(parts) == 1 else parts
        if text.strip() and (text in classes or len(parts) < 2 or not _HOT.issuperset(parts)):
            return None
        length = length or (len(parts) if text.strip() else 0)
        if text.strip() and len(parts) != length:
            return None
        lists.append([float(part) for part in parts] if text.strip() else [])
    if not length:
        return None
    return pa.chunked_array([pa.array(lists, pa.list_(pa.float64())).take(encoded.indices)])


def of_numbers(column: pa.ChunkedArray, classes: list[str]) -> Entries:
    """The labels in cells of one whole number each."""
    rows_M = np.flatnonzero(np.asarray(column.is_valid()))
    return _named(rows_M, np.asarray(column.drop_null(), np.int64), classes)


def of_digits(entries: Entries, classes: list[str]) -> Entries:
    """Names that are whole numbers, as the listed classes that they count; any other names as they are."""
    numbers = entries.names if all(_DIGITS.fullmatch(name) for name in entries.names) else []
    if not numbers or not _count([int(name) for name in numbers], classes):
        return entries
    codes = np.array([int(name) for name in numbers], np.int64)[entries.codes]
    return Entries(entries.rows, codes, classes)


def _count(numbers: Sequence[int], classes: list[str]) -> bool:
    """Whether numbers count classes, from 0 on, and are the names of none."""
    named = any(name.lstrip("-").isdecimal() for name in classes)
    return bool(classes) and not named and all(0 <= number < len(classes) for number in numbers)


def _named(rows_M: np.ndarray, values_M: np.ndarray, classes: list[str]) -> Entries:
    """The entries of whole numbers, which count in the listed classes where these are no numbers themselves."""
    codes_M, numbers = pd.factorize(values_M)
    if _count(numbers.tolist(), classes):
        return Entries(rows_M, values_M, classes)
    return Entries(rows_M, codes_M.astype(np.int64), [str(number) for number in numbers])


def _values(column: pa.ChunkedArray, lengths_N: np.ndarray, origins: pd.Index, name: str) -> np.ndarray:
    """All numbers in one array, float64; InputError for one that is missing or infinite."""
    flat = pc.list_flatten(column)
    values_M = np.asarray(flat.cast(pa.float64()).fill_null(np.nan), np.float64)
    if not np.isfinite(values_M).all():
        rows_M = np.repeat(np.arange(len(lengths_N)), lengths_N)
        row = int(rows_M[np.flatnonzero(~np.isfinite(values_M))[0]])
        raise InputError(str(origins[row]), f"{name} holds a number that is missing", "0 or 1", "correct the list")
    return values_M


def _nameless(name: str, length: int, classes: list[str], origins: pd.Index) -> InputError:
    named = f", and {len(classes)} classes are listed" if classes else ", and nothing says which classes these are"
    return InputError(
        str(origins[0]),
        f"{name} holds lists of {length} values 0 and 1{named}",
        "the names of an image's classes, or the names of all classes in the order of the lists",
        f"list the {length} classes in data.classes, e.g. data.classes=cat,dog,owl, or in classes.txt in data.root",
    )
