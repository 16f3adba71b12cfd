"""Cells that name the labels of a row: names joined by a delimiter, lists, lists written as text, numbers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bmix.sources.cells import Cells
from bmix.sources.column_names import LISTS
from bmix.sources.label_cells.brackets import OPENING, parse_list
from bmix.sources.label_cells.combinations import refuse_combinations, refuse_two_delimiters
from bmix.sources.label_cells.entries import NONE, Entries
from bmix.sources.label_cells.numbers import lists_in_text, of_digits, of_number_lists, of_numbers
from bmix.sources.label_cells.rules import AUTO, CellRules, delimiter_shown
from bmix.sources.label_cells.rules import NONE as NO_DELIMITER
from bmix.support.errors import InputError

DELIMITERS = [";", "|", ","]


@dataclass(frozen=True)
class Listed:
    """The entries of every list column that a file has, by role; of the cells of -1; and how the cells are written."""

    entries: dict[str, Entries]
    minus_one: Entries
    how: str


def read_listed(cells: Cells, rules: CellRules, classes: list[str], where: str) -> Listed:
    """The columns labels, ignore and true, as far as the file has them.

    Text cells are names joined by one delimiter, the same in the whole file, or lists as JSON, Python or numpy write
    them. Numbers and lists of them are read as `of_number_lists` says. classes: as the user listed them, else [].
    Raises InputError for both ; and | in one file, a list that cannot be read, a list beside cells that are none, names
    that are combinations of others where no delimiter was found, and a type of parquet that holds no names.
    """
    columns = {role: _plain(cells.column(role), role, where) for role in LISTS if cells.has(role)}
    texts = {role: column for role, column in columns.items() if pa.types.is_string(column.type)}
    bracketed = any(_any(pc.match_substring_regex(column, OPENING)) for column in texts.values())
    delimiter = "" if bracketed else text_delimiter(list(texts.values()), rules, where)
    entries: dict[str, Entries] = {}
    minus_one, how = NONE, ""
    for role, column in columns.items():
        known = classes or cells.class_names.get(cells.roles[role], [])
        if bracketed and role in texts:
            column = _bracket_lists(column, role, cells.origins)
        elif role in texts and (numbers := lists_in_text(column, known)) is not None:
            column = numbers
        if role == "labels":
            how = _how(column, delimiter, from_text=role in texts)
        if pa.types.is_integer(column.type):
            entries[role] = of_numbers(column, known)
        elif _is_list(column.type) and not pa.types.is_string(column.type.value_type):
            entries[role], ignored, kind = of_number_lists(column, known, cells.origins, role)
            minus_one, how = (ignored, kind) if role == "labels" else (minus_one, how)
        else:
            entries[role] = _of_lists(column) if _is_list(column.type) else _of_texts(column, delimiter)
            entries[role] = of_digits(entries[role], known)
        if role == "labels" and entries[role].names is known:
            how += "; the numbers count in the listed classes"
        if role == "labels" and pa.types.is_string(column.type) and not classes:
            _refuse_several_in_one(entries[role].names, delimiter, rules, where)
    return Listed(entries, minus_one, how)


def _how(column: pa.ChunkedArray, delimiter: str, from_text: bool) -> str:
    """How the cells of a column of names or whole numbers are written."""
    if _is_list(column.type):
        return "lists in brackets" if from_text else "lists of names"
    if pa.types.is_integer(column.type):
        return "one number in each cell"
    return f"names joined by {delimiter_shown(delimiter)}" if delimiter else "one name in each cell"


def _refuse_several_in_one(names: list[str], delimiter: str, rules: CellRules, where: str) -> None:
    """InputError if names of text cells are several in one, as far as the params are silent."""
    if rules.delimiter == AUTO and delimiter:
        refuse_two_delimiters(names, delimiter, DELIMITERS, where)
    elif rules.delimiter != NO_DELIMITER and not delimiter:
        refuse_combinations(names, where)


def _any(mask: pa.ChunkedArray) -> bool:
    return bool(pc.any(mask).as_py())


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )


def _plain(column: pa.ChunkedArray, role: str, where: str) -> pa.ChunkedArray:
    """The column as string, int64, or a list of string or of numbers; InputError if it is none of these."""
    kind = column.type
    inner = kind.value_type if _is_list(kind) else kind
    if _is_text(inner):
        return column.cast(pa.list_(pa.string()) if _is_list(kind) else pa.string())
    if pa.types.is_boolean(inner) or pa.types.is_integer(inner) or pa.types.is_floating(inner):
        if _is_list(kind):
            return column.cast(pa.list_(pa.float64()))
        if pa.types.is_boolean(inner):
            return column.cast(pa.string())
        if pa.types.is_integer(inner) or _are_whole(column):
            return column.cast(pa.int64())
    raise InputError(
        where,
        f"column {role} holds values of type {kind}",
        "text or lists of text",
        "write the names of an image's classes, or a column of 0 and 1 for each class",
    )


def _are_whole(column: pa.ChunkedArray) -> bool:
    """Whether numbers are whole and were made fractions by the gaps between them, as pandas does."""
    values = np.asarray(column.drop_null(), np.float64)
    return column.null_count > 0 and bool(np.isfinite(values).all() and (values % 1 == 0).all())


def text_delimiter(columns: list[pa.ChunkedArray], rules: CellRules, where: str) -> str:
    """What joins the names in the text cells of this file: as params say, else ; or | or the comma; '' without any."""
    if rules.delimiter == NO_DELIMITER:
        return ""
    if text := rules.delimiter_text:
        return text if any(_any(pc.match_substring(column, text)) for column in columns) else ""
    found = [mark for mark in DELIMITERS if any(_any(pc.match_substring(column, mark)) for column in columns)]
    if ";" in found and "|" in found:
        raise InputError(
            where,
            'both ";" and "|" in labels',
            "one of them between the names",
            "replace one of them, or say in data.delimiter which it is",
        )
    return found[0] if found else ""


def _of_texts(column: pa.ChunkedArray, delimiter: str) -> Entries:
    """Entries of texts, each of which is names joined by the delimiter, or one name without any."""
    return _of_lists(pc.split_pattern(column, delimiter)) if delimiter else _coded(np.arange(len(column)), column)


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


def _bracket_lists(column: pa.ChunkedArray, role: str, origins: pd.Index) -> pa.ChunkedArray:
    """Lists that are written as text, as lists of string or of float64."""
    encoded = column.combine_chunks().dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    cell_N = np.asarray(encoded.indices.fill_null(len(texts)))
    with warnings.catch_warnings():
        # Python warns of a backslash in a text that it reads; here the text is a person's data.
        warnings.simplefilter("ignore")
        parsed = [parse_list(text) for text in texts]
    filled = [items for items in parsed if items]
    kind = pa.string() if not filled or isinstance(filled[0][0], str) else pa.float64()
    for number, (text, items) in enumerate(zip(texts, parsed, strict=True)):
        if items is None or (items and isinstance(items[0], str) != (kind == pa.string())):
            raise InputError(
                str(origins[int(np.argmax(cell_N == number))]),
                f"{role}: {text[:60]} is not a list of names, and other cells are lists in brackets",
                'a list of texts in quotes, e.g. ["cat", "dog"], in every row',
                "correct the cell, or write cat;dog without brackets in every row",
            )
    lists = pa.array([*parsed, []], pa.list_(kind))
    return pa.chunked_array([lists.take(pa.array(cell_N.astype(np.int64)))])
