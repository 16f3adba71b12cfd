"""A corrected copy of what the labels of a run were read from, read back before it is handed out."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from bmix.data.manifest import REVIEWED, Manifest
from bmix.labels.changes import Changes
from bmix.labels.copies.cells import ListForm
from bmix.labels.copies.coco_copy import copy_coco
from bmix.labels.copies.csv_copy import copy_csv
from bmix.labels.copies.edits import Edits
from bmix.labels.copies.images import Images
from bmix.labels.copies.jsonl_copy import copy_jsonl
from bmix.labels.copies.npz_copy import copy_npz
from bmix.labels.copies.parquet_copy import copy_parquet
from bmix.labels.run import LabelledRun
from bmix.sources.class_list import class_list
from bmix.sources.coco.layout import IN_FOLDER, UNLABELLED, choose_parts, find_parts
from bmix.sources.features.files import open_pack
from bmix.sources.label_cells import CellRules
from bmix.sources.registry import SOURCES
from bmix.sources.repeated import first_rows
from bmix.sources.split_map import AUTO, parse_splits
from bmix.sources.table.files import SEPARATORS, read_cells
from bmix.sources.table.read import image_frame
from bmix.support.errors import InputError
from bmix.support.files import read_json

COPIED = {"table": (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet"), "features": (".npz", ".parquet"),
          "coco": (".json",)}  # fmt: skip
"""The sources of which a corrected copy can be written, and the suffixes of their files."""
FOLDER = "/"
"""In the place of a suffix: a folder of COCO's files."""


def copied_suffix(run: LabelledRun) -> str:
    """The suffix of the file of which a corrected copy can be written, or FOLDER; "" if there is none."""
    path = run.source_path
    if path.is_dir() and run.params.data.source == "coco":
        return FOLDER
    known = COPIED.get(run.params.data.source, ())
    return path.suffix.lower() if path.is_file() and path.suffix.lower() in known else ""


def write_copy(run: LabelledRun, changes: Changes, output: Path, marked: bool) -> None:
    """Write the source's file with corrected labels. marked: with what was reviewed, and the splits if they were drawn.

    Of a folder of COCO's files, those that the run reads are written into the folder `output`. The copy is read as the
    source was before it is put in its place. InputError if there is no such file, if `output` ends otherwise or is a
    folder already, and for a form of labels that cannot be written so.
    """
    suffix = copied_suffix(run)
    if suffix == FOLDER:
        if output.suffix or output.exists():
            found = f"{output}{' is there already' if output.exists() else ''}"
            raise InputError("--output", found, f"a new folder, as {run.source_path} is one", "name another")
    elif output.suffix.lower() != suffix:
        expected = f"a file that ends in {suffix}, the form of {run.source_path}"
        raise InputError("--output", str(output), expected, f"name it {output.with_suffix(suffix)}")
    targets = changes.targets(run)
    whole = Edits(run.classes, targets, changes.reviewed(), _drawn_splits(run), adds_columns=True)
    with tempfile.TemporaryDirectory(prefix=".bmix-", dir=output.absolute().parent) as folder:
        draft = Path(folder) / output.name
        # With the splits beside them: of a table that does not name any they are drawn by its labels.
        _write(run, whole, draft)
        _refuse_other_reading(run, changes, draft, output)
        if not marked:
            _write(run, Edits(run.classes, targets), draft)
        draft.replace(output)


def splits_setting(run: LabelledRun, output: Path) -> str:
    """data.splits for the copy: of COCO, whose parts are named as their files, with the part's new name."""
    splits, path = run.params.data.splits, run.source_path
    renamed = path.is_file() or (path / IN_FOLDER).is_file()
    if run.params.data.source != "coco" or splits == AUTO or not renamed:
        return splits
    return " ".join(f"{split}={output.stem}" for split in [pair.partition("=")[0] for pair in splits.split()])


def _write(run: LabelledRun, edits: Edits, output: Path) -> None:
    path, data = run.source_path, run.params.data
    if data.source == "coco" and path.is_dir():
        _write_parts(run, edits, output)
        return
    if data.source == "coco":
        copy_coco(path, edits, output)
        return
    rules, listed = CellRules.of(data), class_list(data.classes, run.folder / data.root)
    names = listed.names if listed else []
    if path.suffix.lower() == ".npz":
        with open_pack(path, rules, listed) as pack:
            columns = pack.labels.labels.names
            ids = pack.ids
        copy_npz(path, ids, edits, output, columns)
        return
    images = _feature_images(run, names, rules) if data.source == "features" else _images(run, names, rules)
    if path.suffix.lower() in SEPARATORS:
        copy_csv(path, images, edits, output)
    elif path.suffix.lower() == ".parquet":
        copy_parquet(path, images, edits, output)
    else:
        copy_jsonl(path, images, edits, output)


def _write_parts(run: LabelledRun, edits: Edits, output: Path) -> None:
    """Each file of a COCO folder that the run reads, corrected, at its place in the folder `output`."""
    path = run.source_path
    files = find_parts(path)
    prefixed = "ids" in _notes(run)
    for part, split in choose_parts(path, files, parse_splits(run.params.data.splits)).items():
        source = files[part].file_for(part, split)
        target = output / source.relative_to(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if split == UNLABELLED:
            shutil.copyfile(source, target)
        else:
            copy_coco(source, edits, target, f"{part}/" if prefixed else "")


def _images(run: LabelledRun, names: list[str], rules: CellRules) -> Images:
    cells = read_cells(run.source_path)
    frame, _ = image_frame(cells, run.folder / run.params.data.root)
    first_N = first_rows(frame["path"])
    ids = frame["id"].to_numpy(object)[first_N].tolist()
    labels = _labels(run.manifest)
    in_columns = not cells.has("labels") or (
        bool(names) and set(names) <= set(cells.others()) and cells.roles["labels"] != "labels"
    )
    if in_columns:
        return Images(ids, labels, None)
    form = ListForm.of(cells, rules, names, str(run.source_path))
    texts = pd.Series([str(cell) for cell in cells.column("labels").to_pylist()])
    said = texts.groupby(ids).nunique()
    per_label = frozenset(said.index[said > 1])
    return Images(ids, labels, form, cells.roles["labels"], per_label)


def _feature_images(run: LabelledRun, names: list[str], rules: CellRules) -> Images:
    from pyarrow import parquet

    from bmix.sources.cells import Cells, origins
    from bmix.sources.column_names import find_roles

    path = run.source_path
    with open_pack(path, rules, class_list(run.params.data.classes, run.folder / run.params.data.root)) as pack:
        ids = pack.ids
    labels = _labels(run.manifest)
    columns = list(parquet.read_schema(path).names)
    roles = find_roles(columns, str(path), needs_path=False)
    if "labels" not in roles:
        return Images(ids, labels, None)
    table = parquet.read_table(path, columns=[roles["labels"]])
    places = origins(path, "row", np.arange(1, len(table) + 1))
    cells = Cells(table, places, columns, {"labels": roles["labels"]})
    return Images(ids, labels, ListForm.of(cells, rules, names, str(path)), roles["labels"])


def _labels(manifest: Manifest) -> dict[str, frozenset[str]]:
    frame = manifest.frame
    return {id_: frozenset(names) for id_, names in zip(frame["id"], frame["labels"], strict=True)}


def _drawn_splits(run: LabelledRun) -> dict[str, str]:
    """The split of each image, where the source drew them; else {}."""
    if not str(_notes(run).get("splits", "")).startswith("drawn"):
        return {}
    frame = run.manifest.frame
    return dict(zip(frame["id"], frame["split"], strict=True))


def _notes(run: LabelledRun) -> dict[str, str]:
    """What the source said of how it read the data."""
    found: dict[str, str] = read_json(run.folder / "data/prepared/facts.json").get("notes", {})
    return found


def _refuse_other_reading(run: LabelledRun, changes: Changes, draft: Path, output: Path) -> None:
    """InputError unless the source reads from the draft of a copy what was to be written."""
    root, splits = run.folder / run.params.data.root, splits_setting(run, draft)
    data = run.params.data.model_copy(update={"path": str(draft), "root": str(root), "splits": splits})
    try:
        manifest = SOURCES[data.source].read(data, None)
    except InputError as error:
        where = error.where.replace(str(draft), str(output))
        raise InputError(
            where, f"the corrected labels could not be read: {error.found}", error.expected, error.remedy
        ) from error
    expected = _labels(run.manifest)
    for id_, values in changes.targets(run).items():
        expected[id_] = frozenset(
            ({*expected[id_]} | {n for n, v in values.items() if v}) - {n for n, v in values.items() if not v}
        )
    found = _labels(manifest)
    # Images that prepare left out are in the file, and so in its copy.
    if differing := [id_ for id_, names in expected.items() if found.get(id_) != names]:
        _refuse_form(run, f'image "{differing[0]}" would be read with other labels')
    if reviewed := changes.reviewed():
        seen = dict(zip(manifest.frame["id"], manifest.frame.get(REVIEWED, pd.Series(dtype=object)), strict=False))
        known = set(manifest.classes)
        if differing := [id_ for id_, own in reviewed.items() if not (set(own) & known) <= set(seen.get(id_, ()))]:
            _refuse_form(run, f'what was reviewed of image "{differing[0]}" would be lost')


def _refuse_form(run: LabelledRun, found: str) -> None:
    expected = "names in a column labels, a column of 0 and 1 for each class, or COCO's annotations"
    # A plain table names images.
    remedy = "write a plain table instead: --plain" if run.image_root else "write its labels in one of these forms"
    raise InputError(
        str(run.source_path),
        f"its labels are written in a form in which they cannot be corrected: {found}",
        expected,
        remedy,
    )
