"""A parquet table with corrected labels: the columns, their order and types, and the rows are as they were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from bmix.labels.copies.cells import spellings
from bmix.labels.copies.edits import Edits
from bmix.labels.copies.images import Images
from bmix.labels.copies.jsonl_copy import refuse_row_per_label
from bmix.sources.column_names import REVIEWED
from bmix.support.files import replaced


def copy_parquet(path: Path, images: Images, edits: Edits, output: Path) -> None:
    """Write the table anew, with its metadata. InputError for a table with a row per label."""
    refuse_row_per_label(path, images)
    table = parquet.read_table(path)
    changed = {row: edits.targets[id_] for row, id_ in enumerate(images.ids) if id_ in edits.targets}
    if images.form is not None:
        cells = table[images.column].to_pylist()
        for row, values in changed.items():
            cells[row] = images.form.edit(cells[row], values)
        table = _with(table, images.column, cells)
    else:
        for name in {name for values in changed.values() for name in values}:
            table = _with(table, name, _class_column(table[name].to_pylist(), name, images, changed))
    if edits.splits and "split" not in table.column_names:
        table = table.append_column("split", pa.array([edits.splits[id_] for id_ in images.ids]))
    if edits.adds_columns:
        table = _with_answers(table, images, edits)
    with replaced(output) as temporary:
        parquet.write_table(table, temporary, compression="zstd")


def _class_column(cells: list[Any], name: str, images: Images, changed: Mapping[int, Mapping[str, int]]) -> list[Any]:
    words = spellings(cells, images.shows(name))
    return [words[changed[row][name]] if name in changed.get(row, {}) else cell for row, cell in enumerate(cells)]


def _with(table: pa.Table, name: str, cells: list[Any]) -> pa.Table:
    place = table.column_names.index(name)
    field = table.schema.field(place)
    plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    return table.set_column(place, field, pa.array(cells, plain).cast(field.type))


def _with_answers(table: pa.Table, images: Images, edits: Edits) -> pa.Table:
    before = table[REVIEWED].to_pylist() if REVIEWED in table.column_names else [None] * len(table)
    cells = []
    for row, (id_, own) in enumerate(zip(images.ids, before, strict=True)):
        answers = {**json.loads(own or "{}"), **(edits.reviewed.get(id_, {}) if images.rows[id_][0] == row else {})}
        cells.append(json.dumps(answers, ensure_ascii=False) if answers else None)
    if REVIEWED in table.column_names:
        return _with(table, REVIEWED, cells)
    return table.append_column(REVIEWED, pa.array(cells, pa.string()))
