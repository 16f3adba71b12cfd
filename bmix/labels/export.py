"""Labels written for people and for other tools."""

from __future__ import annotations

from pathlib import Path

from bmix.labels.changes import Changes
from bmix.labels.copies.copy import FOLDER, copied_suffix, write_copy
from bmix.labels.copies.plain import plain_table, write_plain
from bmix.labels.formats.cleanlab import write_cleanlab
from bmix.labels.formats.coco import write_coco
from bmix.labels.formats.fiftyone import write_fiftyone
from bmix.labels.formats.images import LabelledImages
from bmix.labels.formats.label_studio import write_label_studio
from bmix.labels.formats.suggestions import write_suggestions
from bmix.labels.formats.yolo import write_yolo
from bmix.labels.run import LabelledRun

WRITERS = {
    "cleanlab": write_cleanlab,
    "coco": write_coco,
    "fiftyone": write_fiftyone,
    "label-studio": write_label_studio,
    "yolo": write_yolo,
}
FOLDERS = ("fiftyone", "yolo")
"""The formats that are a folder; so is COCO of a folder."""
TABLES = ("csv", "parquet")
FORMATS = (*TABLES, *sorted(WRITERS))


def export_labels(run: LabelledRun, changes: Changes, form: str, output: Path, plain: bool = False) -> str:
    """Write labels in one of FORMATS; returns in words what was written.

    With changes a table, or COCO, is a corrected copy of the source's own file where that is of this form, every byte
    else as it was, unless `plain`. Without changes the suggestions stand beside the given labels.
    """
    suffix = copied_suffix(run)
    own = {".tsv": "csv", ".tab": "csv", ".json": "coco", FOLDER: "coco"}.get(suffix, suffix.removeprefix("."))
    if changes.looked_at and own == form and not plain:
        write_copy(run, changes, output, marked=False)
        return f"a corrected copy of {run.params.data.path}"
    if form in TABLES and changes.looked_at:
        write_plain(plain_table(run, changes), run.classes, output)
        return "a table of the corrected labels"
    images = LabelledImages.of(run, changes)
    if form in TABLES:
        write_suggestions(images, output)
        return "the given labels, and the suggested ones beside them"
    WRITERS[form](images, output)
    return f"{'corrected' if changes.looked_at else 'given and suggested'} labels for {form}"
