"""A CSV or TSV with corrected label cells; every other byte is as it was."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bmix.labels.copies.cells import spellings
from bmix.labels.copies.edits import Edits
from bmix.labels.copies.images import Images
from bmix.sources.column_names import REVIEWED
from bmix.sources.table.files import SEPARATORS, separator_of
from bmix.support.files import replaced

_BOM = "\ufeff"


def copy_csv(path: Path, images: Images, edits: Edits, output: Path) -> None:
    """Write the table anew. A row is edited cell by cell, removed where it held nothing but a label that goes, and
    copied for a label that comes into a table with a row per label."""
    content = path.read_bytes().decode("utf-8")
    bom, content = (_BOM, content.removeprefix(_BOM)) if content.startswith(_BOM) else ("", content)
    lines = list(io.StringIO(content, newline=""))
    separator, skipped = separator_of(path, SEPARATORS[path.suffix.lower()])
    records = list(_records(lines[skipped:], separator))
    header = [name.strip() for name in records[0][0]]
    table = _Table(header, separator, images, edits)
    with replaced(output) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(bom + "".join(lines[:skipped]))
        for text in table.written(records):
            file.write(text)


def _records(lines: Sequence[str], separator: str) -> Iterator[tuple[list[str], str]]:
    """The cells of every row, and the text that they stand in."""
    taken: list[str] = []

    def fed() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    for cells in csv.reader(fed(), strict=True, delimiter=separator):
        yield cells, "".join(taken)
        taken.clear()


class _Table:
    """The rows of a table on their way to the copy."""

    def __init__(self, header: list[str], separator: str, images: Images, edits: Edits) -> None:
        self._separator, self._images, self._edits = separator, images, edits
        self._place = {name: header.index(name) for name in header}
        self._cells: list[list[str]] = []
        self._added = [name for name in ("split", REVIEWED) if _adds(name, edits) and name not in self._place]

    def written(self, records: Sequence[tuple[list[str], str]]) -> Iterator[str]:
        head, *rows = records
        yield self._with_cells(head[1], dict.fromkeys(self._added, ""), names=True)
        filled = [record for record in rows if record[0]]
        self._cells = [cells for cells, _ in filled]
        columns = self._class_columns()
        position = 0
        for cells, text in rows:
            if not cells:
                yield text
                continue
            yield from self._row(position, cells, text, columns)
            position += 1

    def _row(self, position: int, cells: list[str], text: str, columns: Mapping[str, tuple[str, str]]) -> Iterator[str]:
        images, id_ = self._images, self._images.ids[position]
        values = self._edits.targets.get(id_, {})
        new = self._further(id_, cells, held=position == self._holder(id_))
        if images.form is None:
            new |= {name: columns[name][value] for name, value in values.items() if name in columns}
            yield self._with_cells(text, new)
            return
        name, form = images.column, images.form
        cell = cells[self._place[name]]
        if not images.has_row_per_label(id_):
            yield self._with_cells(text, {**new, name: form.edit(cell, values)} if values else new)
            return
        coming = [own for own, value in values.items() if value]
        goes = self._goes(position)
        if not goes or position == self._holder(id_):
            yield self._with_cells(text, {**new, name: form.edit(cell, {form.names(cell): 0}) if goes else cell})
        if images.rows[id_][-1] == position:
            for number, own in enumerate(coming):
                held = number == 0 and self._holder(id_) is None
                new |= self._further(id_, cells, held)
                yield self._with_cells(text, {**new, name: form.edit("", {own: 1})}, full_line=True)

    def _goes(self, position: int) -> bool:
        """Whether a row of a table with a row per label names one that goes."""
        images = self._images
        assert images.form is not None
        name = images.form.names(self._cells[position][self._place[images.column]])
        return self._edits.targets.get(images.ids[position], {}).get(name, 1) == 0

    def _holder(self, id_: str) -> int | None:
        """The row that says what was reviewed of an image: its first one that stays; None if a new one will."""
        rows = self._images.rows[id_]
        if not self._images.has_row_per_label(id_):
            return rows[0]
        staying = [row for row in rows if not self._goes(row)]
        if staying:
            return staying[0]
        return None if any(self._edits.targets[id_].values()) else rows[0]

    def _further(self, id_: str, cells: list[str], held: bool) -> dict[str, str]:
        """The cells of the columns that say what was reviewed, and in which split an image is."""
        new: dict[str, str] = {}
        if _adds(REVIEWED, self._edits):
            before = cells[self._place[REVIEWED]] if REVIEWED in self._place else ""
            answers = {**(json.loads(before) if before.strip() else {}), **self._edits.reviewed.get(id_, {})}
            new[REVIEWED] = json.dumps(answers, ensure_ascii=False) if answers and held else ""
        if "split" in self._added:
            new["split"] = self._edits.splits[id_]
        return new

    def _class_columns(self) -> dict[str, tuple[str, str]]:
        """How the column of every class spells absent and present."""
        if self._images.form is not None:
            return {}
        return {
            name: spellings([cells[self._place[name]] for cells in self._cells], self._images.shows(name))
            for name in self._edits.classes
            if name in self._place
        }

    def _with_cells(self, text: str, new: Mapping[str, str], names: bool = False, full_line: bool = False) -> str:
        """The text of a row with other cells. names: a header, whose added cells are the names themselves."""
        bare = text.rstrip("\r\n")
        ending = text[len(bare) :] or ("\n" if full_line else "")
        spans = cell_spans(bare, self._separator)
        for place in sorted((self._place[name] for name in new if name in self._place), reverse=True):
            start, end = spans[place]
            cell = next(value for name, value in new.items() if self._place.get(name) == place)
            raw = bare[start:end]
            if csv_cell(raw, self._separator) != cell:
                bare = bare[:start] + quoted_cell(cell, self._separator, raw.startswith('"')) + bare[end:]
        for name in self._added:
            bare += self._separator + quoted_cell(name if names else new[name], self._separator)
        return bare + ending


def _adds(name: str, edits: Edits) -> bool:
    return bool(edits.splits) if name == "split" else edits.adds_columns


def cell_spans(text: str, separator: str) -> list[tuple[int, int]]:
    """Where each cell of a row stands in its text, quotes included."""
    spans, start, quoted, place = [], 0, False, 0
    while place < len(text):
        sign = text[place]
        if quoted:
            quoted = sign != '"'
        elif sign == '"':
            # A second quote within a cell opens it again, which is what a doubled one means.
            quoted = True
        elif sign == separator:
            spans.append((start, place))
            start = place + 1
        place += 1
    return [*spans, (start, len(text))]


def csv_cell(raw: str, separator: str) -> str:
    """What a cell's text says."""
    return next(csv.reader([raw], delimiter=separator), [""])[0] if raw else ""


def quoted_cell(cell: str, separator: str, always: bool = False) -> str:
    """A cell as it is written."""
    if always or any(sign in cell for sign in (separator, '"', "\r", "\n")):
        return '"' + cell.replace('"', '""') + '"'
    return cell
