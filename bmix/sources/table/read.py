"""A person's own data set: a CSV, TSV, parquet or JSONL with a row per image or per label, and a folder of images.

Columns: `path` (below data.root) and `labels`; optional `id` (else the path), `split` (else drawn), `ignore` and
`true`; each under its own name or one that is usual for it. A labels cell holds class names joined by one delimiter,
the same in the whole file, or a list of names; an empty cell is an image that shows no class. Without a column of
labels, each further column of 0 and 1 is a class.
The classes are those that the user listed, else the names seen in training, sorted, or the 0/1 columns.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bmix.data.manifest import COLUMNS, Manifest, manifest_columns
from bmix.sources.cells import Cells
from bmix.sources.class_list import AUTO, ClassList, class_list
from bmix.sources.column_names import ROLES
from bmix.sources.image_names import is_image_name
from bmix.sources.label_cells import CellRules, read_labels
from bmix.sources.repeated import merge_repeated_rows
from bmix.sources.rows import IS_VALID, Rows, in_splits, mapped
from bmix.sources.split_names import split_named
from bmix.sources.table.files import SEPARATOR_NAMES, SEPARATORS, read_cells
from bmix.sources.table.paths import found_paths
from bmix.support.errors import InputError, nearest, quoted

PLAIN = CellRules()


def read_table(
    path: Path,
    root: Path,
    seed: int,
    split_of: dict[str, str] | None = None,
    rules: CellRules = PLAIN,
    classes: str = AUTO,
) -> Manifest:
    """Read a table into a manifest without digests; its notes tell what was decided here.

    seed: draws the splits of a table without a column `split`. Columns beyond the known ones are left alone, unless
    they are the classes. root: where `classes.txt` is looked for. split_of: value of the column `split` -> split; rows
    with another value are left out. Empty or None: the values are splits, or usual names of them. rules, classes: as
    bmix/params/data.py describes them. A label of an image in split unlabelled is left out.
    Rows of one image become one where they say the same, or one label each.
    Raises InputError for a file that is missing or malformed, a missing column, a row with too few or too many cells,
    an empty path, id or split, cells that cannot be read or contradict each other, and a class that no training image
    has.
    """
    cells = read_cells(path)
    listed = class_list(classes, root)
    _refuse_no_paths(cells, path)
    if not len(cells):
        return Manifest(pd.DataFrame(columns=COLUMNS), [])
    frame, completed = image_frame(cells, root)
    notes = {"paths": completed} if completed else {}
    return manifest_of(cells, frame.assign(digest=""), seed, split_of or {}, rules, listed, str(path), notes)


def image_frame(cells: Cells, root: Path) -> tuple[pd.DataFrame, str]:
    """`path` and `id` of each row of a table that is not empty, and a note on paths that were completed."""
    frame = pd.DataFrame({role: text_column(cells, role) for role in ("path", "id") if cells.has(role)})
    frame["path"], completed = found_paths(frame["path"], root)
    if "id" not in frame:
        frame["id"] = frame["path"]
    return frame, completed


def manifest_of(
    cells: Cells,
    frame: pd.DataFrame,
    seed: int,
    split_of: dict[str, str],
    rules: CellRules,
    listed: ClassList | None,
    where: str,
    notes: dict[str, str],
) -> Manifest:
    """The manifest of images that are known by `path`, `id` and `digest`, with the labels and splits of their cells.

    frame: a row for each of the cells, by origin; with `split` where the parts are known otherwise. notes: what is
    known by now. Raises InputError as `read_table`.
    """
    notes = ({"form": cells.form} if cells.form else {}) | notes
    if cells.has("split") and (splits := _split_column(cells, split_of, notes)) is not None:
        frame = frame.assign(split=splits)
    found = read_labels(cells, rules, listed, where)
    notes |= ({"classes": listed.note} if listed else {}) | found.notes
    rows = mapped(Rows(frame, found.labels, found.ignore, found.true, found.reviewed), split_of, where, notes)
    rows, repeated = merge_repeated_rows(rows, where, found.join)
    notes |= {"repeated": repeated} if repeated else {}
    rows, names = in_splits(rows, found.classes, seed, where, notes)
    frame = rows.with_lists(names)
    return Manifest(frame[manifest_columns(frame)], names, notes, classes_listed=found.certain)


def _split_column(cells: Cells, split_of: dict[str, str], notes: dict[str, str]) -> pd.Series | None:
    """The part of each row; None if a column that is not called split holds something else, as a note says."""
    name = cells.roles["split"]
    if name.lower() == "split":
        return text_column(cells, "split")
    parts = text_column(cells, "split", may_be_empty=True)
    known = parts.unique().tolist()
    if name.lower().startswith("is"):
        if all(part.lower() in IS_VALID for part in known):
            return parts.str.lower().map(IS_VALID)
    elif all(split_named(part) or part in split_of for part in known):
        return parts
    notes["left alone"] = f'column "{name}", which names no splits'
    return None


def _refuse_no_paths(cells: Cells, path: Path) -> None:
    if cells.has("path"):
        return
    missing = [role for role in ("path", "labels") if not cells.has(role)]
    usual = SEPARATOR_NAMES.get(SEPARATORS.get(path.suffix.lower(), ","))
    if any(is_image_name(name) for name in cells.names):
        found, remedy = f"the first line is a row, not the names of the columns: {quoted(cells.names)}", "add a line"
    else:
        found = f"no column {' and no column '.join(missing)}; columns found: {quoted(cells.names) or 'none'}"
        remedy = f"rename or add the column.{nearest('path', cells.names).replace('Did you mean', 'Is it')}"
    raise InputError(
        str(path),
        found,
        f"columns path and labels, optional {', '.join(role for role in ROLES if role not in ('path', 'labels'))}, "
        f"with {usual} between them",
        f"{remedy}, e.g. path,labels" if remedy == "add a line" else remedy,
    )


def text_column(cells: Cells, role: str, may_be_empty: bool = False) -> pd.Series:
    """A column of text without blanks around it; InputError if a cell is empty."""
    values = cells.column(role)
    try:
        text = pc.utf8_trim_whitespace(values.cast(pa.string())).fill_null("")
    except pa.ArrowException as error:
        raise InputError(
            f"{cells.origins[0].rpartition(',')[0]}, column {cells.roles[role]}",
            f"values of type {values.type}",
            "text",
            "convert the column to text",
        ) from error
    empty = np.flatnonzero(np.asarray(pc.equal(text, "")))
    if len(empty) and not may_be_empty:
        raise InputError(str(cells.origins[empty[0]]), f"{role} is empty", f"a {role} in every row", "fill it in")
    return pd.Series(text.to_pandas().to_numpy(), index=cells.origins, dtype="str")
