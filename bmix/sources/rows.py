"""Rows with labels on their way to a manifest: which split each is in, and which names are the classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bmix.data.manifest import REVIEWED, SPLIT_PATTERN, origin
from bmix.sources.label_cells.combinations import joined_at
from bmix.sources.label_cells.entries import Entries
from bmix.sources.label_cells.rules import delimiter_word
from bmix.sources.split_map import refuse_unknown_parts
from bmix.sources.split_names import split_named
from bmix.sources.stratify import stratified_splits
from bmix.support.errors import InputError, nearest, quoted

IS_VALID = {"true": "val", "1": "val", "1.0": "val", "false": "train", "0": "train", "0.0": "train"}
"""What the values of a column is_valid mean, lower-case."""


@dataclass(frozen=True)
class Rows:
    """Rows of a source: frame with `path`, `id` and, where it is known, `split`, indexed by origin; and their labels.

    true, reviewed: what the source knows to be true, and what people looked at; None if it knows nothing.
    """

    frame: pd.DataFrame
    labels: Entries
    ignore: Entries
    true: Entries | None = None
    reviewed: Entries | None = None

    def at(self, kept_N: np.ndarray) -> Rows:
        """The rows that bool (N,) keeps."""
        return self._each(self.frame[kept_N], lambda entries: entries.at(kept_N))

    def without_labels(self, emptied_N: np.ndarray) -> Rows:
        """The rows with all given labels taken from those that bool (N,) marks; the true ones can score a guess."""
        return replace(self._each(self.frame, lambda entries: entries.without(emptied_N)), true=self.true)

    def _each(self, frame: pd.DataFrame, change: Callable[[Entries], Entries]) -> Rows:
        true, reviewed = (None if entries is None else change(entries) for entries in (self.true, self.reviewed))
        return Rows(frame, change(self.labels), change(self.ignore), true, reviewed)

    def cells(self) -> dict[str, Entries]:
        """The entries of what is said of the images, by the manifest's column."""
        return {"labels": self.labels, "ignore": self.ignore} | ({} if self.true is None else {"true": self.true})

    def with_lists(self, classes: list[str]) -> pd.DataFrame:
        """The frame with a column of lists for each of `cells`, and of what was reviewed.

        A reviewed name that is no class is left out: the review may have taken the last label of a class away.
        """
        count = len(self.frame)
        reviewed = {} if self.reviewed is None else {REVIEWED: self.reviewed.only(classes)}
        lists = {
            column: pd.Series(entries.lists(count, classes), index=self.frame.index, dtype=object)
            for column, entries in (self.cells() | reviewed).items()
        }
        return self.frame.assign(**lists)


def mapped(rows: Rows, split_of: dict[str, str], where: str, notes: dict[str, str]) -> Rows:
    """The rows under the splits that their parts make, in the column `split`, where they have one.

    split_of: part -> split; rows of other parts are left out. Empty: parts are splits, or usual names of splits;
    another name stays, for `validate` to refuse. InputError for a part of split_of that no row has.
    """
    frame = rows.frame
    if "split" not in frame:
        if split_of:
            raise InputError(
                "data.splits", f"{where} has no column split", "a column that names the parts", "set it to auto"
            )
        return rows
    codes_N, found = pd.factorize(frame["split"])
    parts = [str(part) for part in found]
    if not split_of:
        called = {part: split_named(part) or part for part in parts}
        if renamed := [part for part in parts if called[part] != part]:
            notes["splits"] = ", ".join(f'"{part}" is {called[part]}' for part in renamed)
        splits = np.array([called[part] for part in parts], dtype=object)[codes_N]
        return replace(rows, frame=frame.assign(split=splits.astype("str"))) if renamed else rows
    refuse_unknown_parts(split_of, parts, f"column split of {where}")
    splits = np.array([split_of.get(part, "") for part in parts], dtype=object)[codes_N]
    kept_N = splits != ""
    if not kept_N.all():
        left = quoted(part for part in parts if part not in split_of)
        notes["left out"] = f"{int((~kept_N).sum())} rows of the parts {left}, which data.splits does not name"
    kept = rows.at(kept_N)
    return replace(kept, frame=kept.frame.assign(split=splits[kept_N].astype("str")))


def in_splits(rows: Rows, classes: list[str], seed: int, where: str, notes: dict[str, str]) -> tuple[Rows, list[str]]:
    """The rows with a split each, and the classes.

    Rows without splits are dealt out by `seed`, stratified by their labels. Labels of rows in split unlabelled are
    left out. classes: [] if they are the names seen in training, sorted. Raises InputError for a label that is not
    among the classes.
    """
    if "split" in rows.frame:
        unlabelled_N = (rows.frame["split"] == "unlabelled").to_numpy()
        labelled = int((np.bincount(rows.labels.rows, minlength=len(rows.frame))[unlabelled_N] > 0).sum())
        if labelled:
            notes["unlabelled"] = f"the labels of {labelled} images in split unlabelled are left out"
        rows = rows.without_labels(unlabelled_N)
    else:
        seen = classes or rows.labels.seen(np.ones(len(rows.frame), bool))
        _refuse_unlisted(rows, seen, where, notes)
        splits = stratified_splits(*rows.labels.pairs(seen), (len(rows.frame), len(seen)), seed)
        rows = replace(rows, frame=rows.frame.assign(split=splits))
        notes["splits"] = f"drawn for data.seed {seed}, stratified by the labels"
    training_N = (rows.frame["split"] == "train").to_numpy()
    if not classes:
        classes, notes["classes"] = rows.labels.seen(training_N), "the names seen in training, sorted"
        _refuse_untrained(rows, classes)
    else:
        _refuse_unlisted(rows, classes, where, notes)
    return rows, classes


def _refuse_unlisted(rows: Rows, classes: list[str], where: str, notes: dict[str, str]) -> None:
    """InputError for a label that is not among classes that are known before the splits."""
    labels = rows.labels
    unknown = ~np.isin(labels.codes, [code for code, name in enumerate(labels.names) if name in set(classes)])
    if not unknown.any():
        return
    first = np.flatnonzero(unknown)[np.argmin(labels.rows[unknown])]
    code = labels.codes[first]
    name = labels.names[code]
    remedies = [f"correct the name, or add it to the list of classes.{nearest(name, classes)}"]
    if (sign := joined_at(name, set(classes))) is not None:
        remedies.insert(0, f"set data.delimiter to {delimiter_word(sign)}, or")
    elif not np.isin(labels.rows[labels.codes != code], labels.rows[labels.codes == code]).any():
        remedies.insert(0, f'where it means no label, set data.no_label to "{name}"; else')
    raise InputError(
        origin(rows.frame, int(labels.rows[first]), where),
        f'labels: "{name}" is not in the class list',
        f"one of {quoted(classes)}" + (f" ({notes['classes']})" if "classes" in notes else ""),
        " ".join(remedies),
    )


def _refuse_untrained(rows: Rows, classes: list[str]) -> None:
    """InputError for a name that no training image is labelled with, once every split is one that bmix knows."""
    frame = rows.frame
    if not classes or not all(SPLIT_PATTERN.fullmatch(split) for split in frame["split"].unique()):
        return
    for column, entries in rows.cells().items():
        unknown_codes = [code for code, name in enumerate(entries.names) if name not in set(classes)]
        unknown = np.isin(entries.codes, unknown_codes)
        if unknown.any():
            first = np.flatnonzero(unknown)[np.argmin(entries.rows[unknown])]
            name, row = entries.names[entries.codes[first]], int(entries.rows[first])
            images = len(np.unique(entries.rows[entries.codes == entries.codes[first]]))
            raise InputError(
                str(frame.index[row]),
                f'{column}: "{name}" is not in the class list: {images} image{"s" * (images > 1)} '
                f"with it, the first in split {frame['split'].iloc[row]}, and no training image labelled with it",
                f"one of {quoted(classes)} (the names seen in training, sorted)",
                f"correct the name, label training images with it, or remove it.{nearest(name, classes)}",
            )
