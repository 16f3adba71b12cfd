"""A JSONL with corrected labels; lines that nothing changes are as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bmix.labels.copies.cells import spellings
from bmix.labels.copies.edits import Edits
from bmix.labels.copies.images import Images
from bmix.sources.column_names import REVIEWED
from bmix.support.errors import InputError
from bmix.support.files import replaced


def copy_jsonl(path: Path, images: Images, edits: Edits, output: Path) -> None:
    """Write the table anew. InputError for a table with a row per label."""
    refuse_row_per_label(path, images)
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = list(file)
    records = [json.loads(line) if line.strip() else None for line in lines]
    filled = [record for record in records if record is not None]
    columns = {}
    if images.form is None:
        columns = {
            name: spellings([record.get(name) for record in filled], images.shows(name)) for name in edits.classes
        }
    with replaced(output) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        position = 0
        for line, record in zip(lines, records, strict=True):
            if record is None:
                out.write(line)
                continue
            changed = _changed(record, images, edits, columns, position)
            out.write(line if changed == record else _dumped(changed, line))
            position += 1


def refuse_row_per_label(path: Path, images: Images) -> None:
    """InputError for a table with several rows for an image that name a label each."""
    if images.per_label:
        found, expected = "a row for each label of an image", "a row for each image, or a CSV"
        raise InputError(str(path), found, expected, "convert it to CSV, or export it as another format")


def _changed(
    record: dict[str, Any], images: Images, edits: Edits, columns: dict[str, tuple[Any, Any]], position: int
) -> dict[str, Any]:
    id_ = images.ids[position]
    values = edits.targets.get(id_, {})
    new = dict(record)
    if images.form is not None and values:
        new[images.column] = images.form.edit(record.get(images.column), values)
    elif images.form is None:
        new |= {name: columns[name][value] for name, value in values.items()}
    if edits.splits and "split" not in record:
        new["split"] = edits.splits[id_]
    if images.rows[id_][0] == position and (answers := edits.reviewed.get(id_)):
        new[REVIEWED] = json.dumps({**json.loads(record.get(REVIEWED) or "{}"), **answers}, ensure_ascii=False)
    return new


def _dumped(record: dict[str, Any], line: str) -> str:
    """A record in the style of its line."""
    spaced = '": ' in line
    separators = (", ", ": ") if spaced else (",", ":")
    ending = line[len(line.rstrip("\r\n")) :]
    return json.dumps(record, ensure_ascii="\\u" in line, separators=separators) + ending
