"""Label cells as the source spells them, with some labels added and some taken away."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from bmix.sources.cells import Cells
from bmix.sources.column_names import LISTS
from bmix.sources.label_cells.brackets import parse_list
from bmix.sources.label_cells.listed import text_delimiter
from bmix.sources.label_cells.rules import AUTO, CellRules
from bmix.support.errors import InputError

Cell = Any
Edit = Callable[[Cell, Mapping[str, int]], Cell]
"""A cell and the new values of its classes -> the cell as it is to be."""


@dataclass(frozen=True)
class ListForm:
    """How a column of labels spells names.

    delimiter: between names in one text; "" if a cell is one name. no_label: the word that means none, or "".
    spelt: what stands in a cell for a class, where that is not its name.
    """

    delimiter: str = ""
    no_label: str = ""
    spelt: Mapping[str, str] | None = None

    @classmethod
    def of(cls, cells: Cells, rules: CellRules, classes: Sequence[str], where: str) -> ListForm:
        """The form of the column labels."""
        columns = [cells.column(role) for role in LISTS if cells.has(role)]
        column = columns[0]
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        numbers = {name: str(number) for number, name in enumerate(classes)}
        texts: set[str] = set()
        delimiter = ""
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            joined = [own.cast(pa.string()) for own in columns if not pa.types.is_nested(own.type)]
            delimiter = text_delimiter(joined, rules, where)
            for cell in set(column.to_pylist()) - {None}:
                parts = parse_list(cell) if cell.lstrip().startswith("[") else cell.split(delimiter or None)
                texts.update(text for part in parts or [] if (text := str(part).strip()))
        elif column.type in (pa.int64(), pa.int32(), pa.int16(), pa.int8()):
            texts.update(str(value) for value in set(column.to_pylist()) - {None})
        counted = bool(texts) and texts <= set(numbers.values()) and not texts & set(classes)
        word = "" if rules.no_label == AUTO else rules.no_label
        return cls(delimiter, word, numbers if counted else None)

    def names(self, cell: str) -> str:
        """The class that a cell of one label names."""
        text = cell.strip()
        return next((name for name, own in (self.spelt or {}).items() if own == text), text)

    def edit(self, cell: Cell, values: Mapping[str, int]) -> Cell:
        """The cell with these values: text, a list, or a number; what is not changed is spelt as it was."""
        if isinstance(cell, list):
            return self._changed(cell, values, type(cell[0]) if cell else str)
        if isinstance(cell, str) and cell.lstrip().startswith("["):
            return self._in_brackets(cell, values)
        if isinstance(cell, str) or cell is None:
            parts = _split(cell or "", self.delimiter)
            if self.no_label:
                parts = [part for part in parts if part.strip().lower() != self.no_label.lower()]
            kept = self._changed(parts, values, str)
            return (self.delimiter or ";").join(kept) or self.no_label
        kept = self._changed([cell], values, type(cell))
        if len(kept) > 1:
            raise InputError("labels", "several labels in a column of numbers", "one at most", "export it as csv")
        return kept[0] if kept else None

    def _changed(self, parts: list[Any], values: Mapping[str, int], kind: type) -> list[Any]:
        spelt = self.spelt or {}
        value_of = {spelt.get(name, name): value for name, value in values.items()}
        kept = [part for part in parts if value_of.get(str(part).strip(), 1)]
        there = {str(part).strip() for part in kept}
        return [*kept, *(kind(text) for text, value in value_of.items() if value and text not in there)]

    def _in_brackets(self, cell: str, values: Mapping[str, int]) -> str:
        names = parse_list(cell) or []
        kept = self._changed(list(names), values, type(names[0]) if names else str)
        try:
            json.loads(cell)
        except ValueError:
            return str(kept)
        return json.dumps(kept, ensure_ascii="\\u" in cell)


def _split(cell: str, delimiter: str) -> list[str]:
    if not cell.strip():
        return []
    return cell.split(delimiter) if delimiter else [cell]


def spellings(cells: Sequence[Cell], present: Sequence[bool]) -> tuple[Cell, Cell]:
    """How a column of one class spells absent and present: by the most frequent cell of either."""
    words = []
    for value, usual in ((False, 0), (True, 1)):
        counts = Counter(cell for cell, own in zip(cells, present, strict=True) if own == value)
        kind = type(cells[0]) if len(cells) else int
        words.append(counts.most_common(1)[0][0] if counts else kind(usual))
    return words[0], words[1]
