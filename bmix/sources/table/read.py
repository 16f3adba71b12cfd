"""A person's own data set: a CSV, TSV, parquet or JSONL with a row per image, and a folder of images.

Columns: `path` (below data.root) and `labels`; optional `id` (else the path), `split` (else drawn) and `ignore`. A
labels cell holds class names joined by one delimiter, the same in the whole file, or a list of names; an empty cell is
an image that shows no class. Without a column `labels`, each further column of 0 and 1 is a class.
The classes are the names seen in training, sorted, or the 0/1 columns, or the lines of `classes.txt` in data.root.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bmix.data.manifest import COLUMNS, SPLIT_PATTERN, Manifest, origin, quoted
from bmix.sources.label_cells import NONE, Entries, class_columns, listed_labels
from bmix.sources.split_map import refuse_unknown_parts
from bmix.sources.stratify import stratified_splits
from bmix.sources.table.columns import Cells
from bmix.sources.table.files import read_cells
from bmix.support.errors import InputError, nearest

CLASSES_FILE = "classes.txt"


def read_table(path: Path, root: Path, seed: int, split_of: dict[str, str] | None = None) -> Manifest:
    """Read a table into a manifest without digests; its notes tell what was decided here.

    seed: draws the splits of a table without a column `split`. Columns beyond the known ones are left alone, unless
    they are the classes. root: where `classes.txt` is looked for. split_of: value of the column `split` -> split; rows
    with another value are left out. A label of an image in split unlabelled is left out too.
    Raises InputError for a file that is missing or malformed, a missing column, a row with too few or too many cells,
    an empty path, id or split, two delimiters in one file, a cell that is no label, and a class that no training image
    has.
    """
    cells = read_cells(path)
    classes = _read_classes(root / CLASSES_FILE)
    _refuse_no_paths(cells, path)
    if not len(cells.origins):
        return Manifest(pd.DataFrame(columns=COLUMNS), [])
    frame = pd.DataFrame(index=cells.origins)
    for column in ("path", "id", "split"):
        if column in cells.columns.column_names:
            frame[column] = _text_column(cells, column)
    if "id" not in frame:
        frame["id"] = frame["path"]
    notes = {"classes": f"from {CLASSES_FILE}"} if classes else {}
    if "labels" in cells.names:
        entries, how = listed_labels(cells, str(path))
        labels, ignore = entries["labels"], entries.get("ignore", NONE)
        notes |= {"labels": how} if how else {}
    else:
        entries, _ = listed_labels(cells, str(path))
        labels, ignored, columns, left = class_columns(cells, classes, str(path))
        ignore = _both(ignored, entries.get("ignore", NONE))
        notes["labels"] = f"0/1 columns: {quoted(columns)}" + (f"; left alone: {quoted(left)}" if left else "")
        if not classes:
            classes, notes["classes"] = columns, "the 0/1 columns, in their order"
    if split_of:
        frame, kept_N = _mapped(frame, split_of, path, notes)
        labels, ignore = labels.at(kept_N), ignore.at(kept_N)
    if "split" in frame:
        labels, ignore = _without_unlabelled(frame, labels, ignore, notes)
    else:
        seen = classes or labels.seen(np.ones(len(frame), bool))
        _refuse_unknown(frame, labels, seen, path)
        frame["split"] = stratified_splits(*labels.pairs(seen), (len(frame), len(seen)), seed)
        notes["splits"] = f"drawn for data.seed {seed}, stratified by the labels"
    training_N = (frame["split"] == "train").to_numpy()
    if not classes:
        classes, notes["classes"] = labels.seen(training_N), "the names seen in training, sorted"
        _refuse_untrained(frame, labels, ignore, classes)
    for column, entries_of in (("labels", labels), ("ignore", ignore)):
        frame[column] = pd.Series(entries_of.lists(len(frame), classes), index=frame.index, dtype=object)
    frame["digest"] = ""
    return Manifest(frame[COLUMNS], classes, notes)


def _refuse_no_paths(cells: Cells, path: Path) -> None:
    missing = [name for name in ("path", "labels") if name not in cells.names]
    if "path" in missing:
        hint = nearest("path", cells.names).replace("Did you mean", "Is it")
        raise InputError(
            str(path),
            f"no column {' and no column '.join(missing)}; columns found: {quoted(cells.names) or 'none'}",
            "columns path and labels, optional id, split, ignore, with "
            + ("tabs" if path.suffix.lower() in (".tsv", ".tab") else "commas")
            + " between them",
            f"rename or add the column.{hint}",
        )


def _text_column(cells: Cells, column: str) -> pd.Series:
    """A column of text without blanks around it; InputError where a cell is empty."""
    values = cells.columns[column]
    try:
        text = pc.utf8_trim_whitespace(values.cast(pa.string())).fill_null("")
    except pa.ArrowException as error:
        raise InputError(
            f"{cells.origins[0].rpartition(',')[0]}, column {column}",
            f"values of type {values.type}",
            "text",
            "convert the column to text",
        ) from error
    empty = np.flatnonzero(np.asarray(pc.equal(text, "")))
    if len(empty):
        raise InputError(str(cells.origins[empty[0]]), f"{column} is empty", f"a {column} in every row", "fill it in")
    return pd.Series(text.to_pandas().to_numpy(), index=cells.origins, dtype="str")


def _both(first: Entries, second: Entries) -> Entries:
    names = list(dict.fromkeys([*first.names, *second.names]))
    code_of = {name: code for code, name in enumerate(names)}
    codes = np.array([code_of[name] for name in second.names], np.int64)[second.codes]
    return Entries(np.concatenate([first.rows, second.rows]), np.concatenate([first.codes, codes]), names)


def _mapped(
    frame: pd.DataFrame, split_of: dict[str, str], path: Path, notes: dict[str, str]
) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows whose split is a part in split_of, under its split; and which rows these are, bool (N,)."""
    if "split" not in frame:
        raise InputError(
            "data.splits", f"{path} has no column split", "a column that names the parts", "set it to auto"
        )
    codes_N, parts = pd.factorize(frame["split"])
    refuse_unknown_parts(split_of, [str(part) for part in parts], f"column split of {path}")
    splits = np.array([split_of.get(part, "") for part in parts], dtype=object)[codes_N]
    kept_N = splits != ""
    if not kept_N.all():
        left = quoted(str(part) for part in parts if part not in split_of)
        notes["left out"] = f"{int((~kept_N).sum())} rows of the parts {left}, which data.splits does not name"
    return frame[kept_N].assign(split=splits[kept_N].astype("str")), kept_N


def _without_unlabelled(
    frame: pd.DataFrame, labels: Entries, ignore: Entries, notes: dict[str, str]
) -> tuple[Entries, Entries]:
    unlabelled_N = (frame["split"] == "unlabelled").to_numpy()
    labelled = int((np.bincount(labels.rows, minlength=len(frame))[unlabelled_N] > 0).sum())
    if labelled:
        notes["unlabelled"] = f"the labels of {labelled} images in split unlabelled are left out"
    return labels.without(unlabelled_N), ignore.without(unlabelled_N)


def _refuse_unknown(frame: pd.DataFrame, labels: Entries, classes: list[str], path: Path) -> None:
    """Before splits are drawn by the labels: InputError for one that is not in classes.txt."""
    unknown = ~np.isin(labels.codes, [code for code, name in enumerate(labels.names) if name in set(classes)])
    if unknown.any():
        first = np.flatnonzero(unknown)[np.argmin(labels.rows[unknown])]
        name = labels.names[labels.codes[first]]
        raise InputError(
            origin(frame, int(labels.rows[first]), str(path)),
            f'labels: "{name}" is not in the class list',
            f"one of {quoted(classes)}",
            f"correct the name, or add it to {CLASSES_FILE}.{nearest(name, classes)}",
        )


def _refuse_untrained(frame: pd.DataFrame, labels: Entries, ignore: Entries, classes: list[str]) -> None:
    """InputError for a name that no training image is labelled with, once every split is one that bmix knows."""
    if not classes or not all(SPLIT_PATTERN.fullmatch(split) for split in frame["split"].unique()):
        return
    for column, entries in (("labels", labels), ("ignore", ignore)):
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


def _read_classes(path: Path) -> list[str]:
    if not path.is_file():
        return []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            str(path), f"not readable: {error}", "a class per line, in UTF-8", "save it as such"
        ) from error
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if name and first_line.setdefault(name, number) != number:
            raise InputError(
                f"{path}, line {number}",
                f'"{name}" stands there twice, first in line {first_line[name]}',
                "each class on one line",
                "remove one",
            )
    return list(first_line)
