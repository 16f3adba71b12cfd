"""All labels of a table or a file of features, whichever form its cells have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bmix.sources.cells import Cells
from bmix.sources.class_list import ClassList
from bmix.sources.label_cells.columns import ClassColumns, read_class_columns
from bmix.sources.label_cells.entries import NONE, Entries
from bmix.sources.label_cells.listed import Listed, read_listed
from bmix.sources.label_cells.reviewed import read_reviewed
from bmix.sources.label_cells.rules import AUTO, CellRules
from bmix.sources.plausibility import refuse_odd_names, refuse_values
from bmix.support.errors import InputError, nearest, quoted

CONFIDENCE = "confidence"
PRESENT_FROM = 0.5


@dataclass(frozen=True)
class Labels:
    """The labels of the rows of a file.

    true, reviewed: what the file itself knows to be true, and what people looked at; None if it has no column for that.
    classes: [] if they are not
    known before the splits. certain: whether these names are whole and meant: listed, or the names of columns.
    join: which rows of one image are joined, as `merge_repeated_rows` says. notes: how this was read.
    """

    labels: Entries
    ignore: Entries
    true: Entries | None
    classes: list[str]
    certain: bool
    join: Literal["all", "single", "equal"]
    notes: dict[str, str]
    reviewed: Entries | None = None


def read_labels(
    cells: Cells, rules: CellRules, listed: ClassList | None, where: str, columns: Sequence[str] | None = None
) -> Labels:
    """The labels of all rows: from a column of them, or from a column per class.

    columns: the columns that may be one of a class; None: all without a role.
    Raises InputError for neither, for a column of labels under another name beside columns of 0 and 1, and as
    `read_listed`, `read_class_columns` and `read_reviewed` do.
    """
    cells, reviewed, reviewed_note = read_reviewed(cells)
    found = _read(cells, rules, listed, where, columns)
    return replace(found, reviewed=reviewed, notes=found.notes | reviewed_note)


def _read(
    cells: Cells, rules: CellRules, listed: ClassList | None, where: str, columns: Sequence[str] | None
) -> Labels:
    others = cells.others() if columns is None else list(columns)
    names = listed.names if listed else []
    if names and set(names) <= set(others) and cells.roles.get("labels") != "labels":
        cells = cells.without("labels")
    found = read_listed(cells, rules, names, where)
    if not cells.has("labels"):
        return _by_columns(cells, rules, names, others, found, where)
    beside = cells.without_role() if columns is None else others
    return _by_list(cells, rules, names, beside, found, where)


def _by_list(cells: Cells, rules: CellRules, names: list[str], beside: list[str], found: Listed, where: str) -> Labels:
    """The labels of a file that has a column of them. beside: the other columns, for the note."""
    labels, confidence_note = _confident(cells, found.entries["labels"])
    if confidence_note:
        beside = [name for name in beside if name.lower() != CONFIDENCE]
    elif cells.roles["labels"] != "labels":
        _refuse_columns_beside(cells, rules, [name for name in cells.others() if name in beside], where)
    labels, note = _without_no_label(labels, rules, cells)
    known = names or cells.class_names.get(cells.roles["labels"], [])
    if not known:
        # Before anything else is said of names that are none.
        refuse_values(labels.names, where)
        refuse_odd_names(labels.names, where)
    notes = {"labels": found.how} | confidence_note | note
    notes |= {"left alone": f"columns {quoted(beside)}"} if beside else {}
    minus_one = found.minus_one if rules.minus_one != "absent" else NONE
    ignore = found.entries.get("ignore", NONE).and_those(minus_one)
    join: Literal["all", "single"] = "all" if confidence_note else "single"
    return Labels(labels, ignore, found.entries.get("true"), known, bool(known), join, notes)


def _by_columns(
    cells: Cells, rules: CellRules, names: list[str], others: list[str], found: Listed, where: str
) -> Labels:
    """The labels of a file that has a column per class among `others`, or among them the listed ones."""
    own = read_class_columns(cells, rules, names, others)
    dropped = _no_label_column(own, rules)
    classes = [name for name in own.classes if name not in dropped]
    if not classes or (not names and nearest("labels", own.left)):
        _refuse_shares(cells, own.left)
        _refuse_no_labels(cells, where)
    how = "; ".join(
        [f"0/1 columns: {quoted(classes)}", *own.how]
        + ([f"no class, as data.no_label says: {quoted(dropped)}"] if dropped else [])
        + ([f"left alone: {quoted(own.left)}"] if own.left else [])
    )
    notes = {"labels": how} | ({} if names else {"classes": "the 0/1 columns, in their order"})
    ignore = own.ignore.only(classes).and_those(found.entries.get("ignore", NONE))
    true = found.entries.get("true")
    return Labels(own.labels.only(classes), ignore, true, names or classes, True, "equal", notes)


def _refuse_columns_beside(cells: Cells, rules: CellRules, others: list[str], where: str) -> None:
    """InputError if a column that is not called labels may be one, and columns of 0 and 1 may be the classes."""
    if beside := read_class_columns(cells, rules, [], others).classes:
        name = cells.roles["labels"]
        raise InputError(
            where,
            f'both the column "{name}" and the 0/1 columns {quoted(beside)} may hold the labels',
            "a column labels, or a column of 0 and 1 for each class",
            f'rename "{name}" to labels, or list the classes in data.classes to have the columns read',
        )


def _confident(cells: Cells, labels: Entries) -> tuple[Entries, dict[str, str]]:
    """The labels of rows whose column confidence says that they are there, as Open Images has them, and a note.

    Nothing is taken away, without a note, where no such column holds shares, or a row has several labels.
    """
    name = next((name for name in cells.others() if name.lower() == CONFIDENCE), None)
    if name is None:
        return labels, {}
    column = cells.columns[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    try:
        value_N = np.asarray(pc.cast(column, pa.float64()).fill_null(np.nan), np.float64)
    except pa.ArrowException:
        return labels, {}
    if not ((value_N >= 0) & (value_N <= 1)).all() or np.bincount(labels.rows, minlength=1).max() > 1:
        return labels, {}
    between = int(((value_N > 0) & (value_N < 1)).sum())
    note = f'column "{name}": a label counts from {PRESENT_FROM} on; {int((value_N < PRESENT_FROM).sum())} do not'
    note += f", {between} are between 0 and 1" if between else ""
    return labels.without(value_N < PRESENT_FROM), {"confidence": note}


def _without_no_label(labels: Entries, rules: CellRules, cells: Cells) -> tuple[Entries, dict[str, str]]:
    """The labels without the word that means none, and a note on it.

    InputError if the word stands beside a label in one row, or on no row.
    """
    if rules.no_label == AUTO:
        return labels, {}
    word = rules.no_label.strip().lower()
    codes = [code for code, name in enumerate(labels.names) if name.lower() == word]
    if not codes:
        raise InputError(
            "data.no_label",
            f'no row has the label "{rules.no_label}"',
            f"a word that means no label; names found: {quoted(sorted(labels.names))}",
            f"correct it, or set it to auto.{nearest(rules.no_label, labels.names)}",
        )
    is_word = np.isin(labels.codes, codes)
    rows = np.unique(labels.rows[is_word])
    kept = replace(labels, rows=labels.rows[~is_word], codes=labels.codes[~is_word])
    if (clash := rows[np.isin(rows, kept.rows)]).size:
        row = int(clash[0])
        beside = sorted({kept.names[code] for code in kept.codes[kept.rows == row]})
        raise InputError(
            str(cells.origins[row]),
            f'"{rules.no_label}" beside {quoted(beside)}, and data.no_label says that it means no label',
            "one of them",
            "correct the cell, or set data.no_label to auto",
        )
    names = [name for code, name in enumerate(labels.names) if code not in codes]
    return kept.renumbered(names), {"no label": f"{len(rows)} rows with {quoted([rules.no_label])}"}


def _no_label_column(own: ClassColumns, rules: CellRules) -> list[str]:
    return [name for name in own.classes if rules.no_label != AUTO and name.lower() == rules.no_label.strip().lower()]


def _refuse_shares(cells: Cells, names: list[str]) -> None:
    """InputError for columns that hold numbers between 0 and 1 instead of 0 and 1."""
    for name in names:
        column = cells.columns[name]
        if not (
            pa.types.is_string(column.type) or pa.types.is_dictionary(column.type) or pa.types.is_floating(column.type)
        ):
            continue
        try:
            value_N = np.asarray(column.cast(pa.string()).cast(pa.float64()).fill_null(0), np.float64)
        except pa.ArrowException:
            continue
        between_N = (value_N > 0) & (value_N < 1)
        if between_N.any() and ((value_N >= 0) & (value_N <= 1)).all():
            row = int(between_N.argmax())
            raise InputError(
                str(cells.origins[row]),
                f'column "{name}" holds {value_N[row]:g}, a number between 0 and 1',
                "0 or 1 in a column per class, or names in a column labels",
                "write 1 where the class is present and 0 where it is absent",
            )


def _refuse_no_labels(cells: Cells, where: str) -> None:
    hint = nearest("labels", cells.names).replace("Did you mean", "Is it")
    raise InputError(
        where,
        f"no column labels, and not one 0/1 column per class instead; columns found: {quoted(cells.names)}",
        "columns path and labels, or path and a 0/1 column per class; optional id, split, ignore",
        f"rename or add the column.{hint}",
    )
