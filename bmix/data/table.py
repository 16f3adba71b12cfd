"""A person's own data set: a CSV or parquet with a row per image, and a folder of images.

Columns: `path` (below data.root) and `labels`; optional `id` (else the path), `split` (else drawn) and `ignore`. A
labels cell holds class names joined by one delimiter, the same in the whole file, or, in parquet, a list of names; an
empty cell is an image that shows no class. The classes are the names seen in training, sorted, or the lines of
`classes.txt` in data.root.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bmix.data.manifest import COLUMNS, Manifest, label_matrix, origin, quoted
from bmix.errors import InputError, nearest

REQUIRED = ["path", "labels"]
KNOWN = ["path", "labels", "id", "split", "ignore"]
DELIMITERS = [";", "|", ","]
CLASSES_FILE = "classes.txt"


def read_table(path: Path, root: Path, seed: int) -> Manifest:
    """Read a table into a manifest without digests; its notes tell what was decided here.

    seed: draws the splits of a table without a column `split`. Columns beyond the known ones are left alone.
    root: where `classes.txt` is looked for. Raises InputError for a file that is missing or unreadable, a missing
    column, a row with too few or too many cells, an empty path, id or split, two delimiters in one file.
    """
    if not path.is_file():
        raise InputError("data.path", f"{path} is not a file", "a CSV or parquet file", "correct data.path")
    cells = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    _refuse_missing_columns(cells, path)
    if cells.empty:
        return Manifest(pd.DataFrame(columns=COLUMNS), [])
    notes: dict[str, str] = {}
    delimiter = _delimiter(cells, path)
    if delimiter:
        notes["labels"] = f'names joined by "{delimiter}"'
    frame = pd.DataFrame(index=cells.index)
    for column in ("path", "id", "split"):
        if column in cells:
            frame[column] = _text_column(cells, column, path)
    for column in ("labels", "ignore"):
        lists = [_names(cell, delimiter) for cell in cells[column]] if column in cells else [[] for _ in cells.index]
        frame[column] = pd.Series(lists, index=cells.index, dtype=object)
    frame["digest"] = ""
    if "id" not in frame:
        frame["id"] = frame["path"]
    classes = _read_classes(root / CLASSES_FILE)
    notes["classes"] = f"from {CLASSES_FILE}" if classes else "the names seen in training, sorted"
    if "split" not in frame:
        seen = classes or _seen(frame["labels"])
        frame["split"] = _draw_splits(frame, seen, seed, path)
        notes["splits"] = f"drawn for data.seed {seed}, stratified by the labels"
    classes = classes or _seen(frame.loc[frame["split"] == "train", "labels"])
    column_of = {name: column for column, name in enumerate(classes)}
    for column in ("labels", "ignore"):
        frame[column] = [sorted(set(row), key=lambda name: (column_of.get(name, -1), name)) for row in frame[column]]
    return Manifest(frame[COLUMNS], classes, notes)


def _read_csv(path: Path) -> pd.DataFrame:
    """The cells as text, indexed by origin. Byte order mark, Windows line ends and blank lines are accepted."""
    rows, origins = [], []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            for row in reader:
                if not row:
                    continue
                origins.append(f"{path}, line {reader.line_num}")
                if len(row) != len(header):
                    raise InputError(
                        origins[-1],
                        f"{len(row)} cells",
                        f"{len(header)}, as in the header",
                        'add or remove commas; put a cell that holds commas in quotes: "cat,dog"',
                    )
                rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            str(path), f"not readable as CSV: {error}", "CSV in UTF-8, commas between the cells", "save it as such"
        ) from error
    repeated = [name for name in KNOWN if header.count(name) > 1]
    if repeated:
        raise InputError(str(path), f"column {repeated[0]} stands there twice", "each column once", "remove one")
    return pd.DataFrame(rows, columns=header, index=pd.Index(origins, name="origin", dtype=object), dtype=object)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        cells = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(str(path), f"not readable as parquet: {error}", "a parquet file", "write it anew") from error
    origins = [f"{path}, row {number}" for number in range(1, len(cells) + 1)]
    return cells.set_index(pd.Index(origins, name="origin", dtype=object))


def _refuse_missing_columns(cells: pd.DataFrame, path: Path) -> None:
    missing = [name for name in REQUIRED if name not in cells]
    if missing:
        found = [str(name) for name in cells.columns]
        hint = nearest(missing[0], found).replace("Did you mean", "Is it")
        raise InputError(
            str(path),
            f"no column {' and no column '.join(missing)}; columns found: {quoted(found) or 'none'}",
            "columns path and labels, optional id, split, ignore, with commas between them",
            f"rename or add the column.{hint}",
        )


def _text_column(cells: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """A column of text without blanks around it; InputError where a cell is empty."""
    text = cells[column].map(lambda cell: "" if _is_missing(cell) else str(cell).strip())
    if (text == "").any():
        position = int(np.argmax(text == ""))
        raise InputError(
            origin(cells, position, str(path)), f"{column} is empty", f"a {column} in every row", "fill it in"
        )
    return text


def _delimiter(cells: pd.DataFrame, path: Path) -> str:
    """What joins the names in the text cells of this file: ; or | where one occurs, else the comma; '' without any."""
    texts = []
    for column in [column for column in ("labels", "ignore") if column in cells]:
        for position, cell in enumerate(cells[column]):
            if isinstance(cell, str):
                texts.append(cell)
                if cell.lstrip().startswith("["):
                    raise InputError(
                        origin(cells, position, str(path)),
                        f"{column} is a list in brackets: {cell}",
                        "names joined by ;",
                        "write cat;dog instead of ['cat', 'dog'], or give the table as parquet with lists",
                    )
    found = [delimiter for delimiter in DELIMITERS if any(delimiter in text for text in texts)]
    if ";" in found and "|" in found:
        raise InputError(
            str(path), 'both ";" and "|" in labels', "one of them between the names", "replace one of them"
        )
    return found[0] if found else ""


def _names(cell: Any, delimiter: str) -> list[str]:
    if isinstance(cell, str):
        parts = cell.split(delimiter) if delimiter else [cell]
    else:
        parts = [] if _is_missing(cell) else [str(name) for name in cell if not _is_missing(name)]
    return [name for part in parts if (name := part.strip())]


def _is_missing(cell: Any) -> bool:
    return cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell))


def _read_classes(path: Path) -> list[str]:
    if not path.is_file():
        return []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            str(path), f"not readable: {error}", "a class per line, in UTF-8", "save it as such"
        ) from error
    names = [name for line in lines if (name := line.strip())]
    repeated = [name for position, name in enumerate(names) if name in names[:position]]
    if repeated:
        raise InputError(str(path), f'"{repeated[0]}" stands there twice', "each class on one line", "remove one")
    return names


def _seen(lists: pd.Series) -> list[str]:
    return sorted({name for row in lists for name in row})


def _draw_splits(frame: pd.DataFrame, classes: list[str], seed: int, path: Path) -> np.ndarray:
    known = set(classes)
    for position, row in enumerate(frame["labels"]):
        if unknown := [name for name in row if name not in known]:
            raise InputError(
                origin(frame, position, str(path)),
                f'labels: "{unknown[0]}" is not in the class list',
                f"one of {quoted(classes)}",
                f"correct the name, or add it to {CLASSES_FILE}.{nearest(unknown[0], classes)}",
            )
    # Comes with torch, which takes seconds to import; a table that names its splits does without.
    from bmix.data.splits import stratified_splits

    return stratified_splits(label_matrix(frame["labels"], classes), seed)
