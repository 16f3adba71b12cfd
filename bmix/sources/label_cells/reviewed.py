"""Which labels people looked at, as `bmix labels apply` notes it in the data itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from bmix.sources.cells import Cells
from bmix.sources.column_names import REVIEWED
from bmix.sources.label_cells.entries import Entries
from bmix.support.errors import InputError

KEPT, ADDED, REMOVED = "kept", "added", "removed"
ANSWERS = (KEPT, ADDED, REMOVED)
_BEGINNING = "{"


def read_reviewed(cells: Cells) -> tuple[Cells, Entries | None, dict[str, str]]:
    """The cells without the column of reviewed labels, its entries, and a note; None where there is no such column.

    Each of its cells is empty or a JSON object of class names and KEPT, ADDED or REMOVED. A column of that name which
    holds something else has no role. InputError for a cell that is damaged.
    """
    if not cells.has(REVIEWED):
        return cells, None, {}
    column = cells.column(REVIEWED)
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    texts = column.to_pylist() if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) else []
    filled = [text for text in texts if text and text.strip()]
    if not filled or not filled[0].lstrip().startswith(_BEGINNING):
        return cells.without(REVIEWED), None, {}
    answers = [_parsed(text, str(cells.origins[row])) for row, text in enumerate(texts)]
    return cells.without(REVIEWED), *reviewed_entries(answers)


def reviewed_entries(answers: Iterable[dict[str, str]]) -> tuple[Entries, dict[str, str]]:
    """Answers by class name, for each row, as entries and a note."""
    answers = list(answers)
    return Entries.of_lists([list(row) for row in answers]), note(Counter(a for row in answers for a in row.values()))


def note(counts: Counter[str]) -> dict[str, str]:
    """What a review changed, in words."""
    parts = ", ".join(f"{counts[answer]} {answer}" for answer in ANSWERS if counts[answer])
    return {REVIEWED: f"{counts.total()} labels that people looked at, and that are trusted: {parts}"}


def parse_answers(value: Any, where: str) -> dict[str, str]:
    """Answers by class name; InputError if the value is not that."""
    if not isinstance(value, dict) or not all(answer in ANSWERS for answer in value.values()):
        found = f"reviewed is {json.dumps(value)[:60]}"
        expected = f"class names with one of {', '.join(ANSWERS)}, as bmix labels apply writes them"
        raise InputError(where, found, expected, "correct it, or remove it")
    return value


def _parsed(text: str | None, where: str) -> dict[str, str]:
    if not text or not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    return parse_answers(value, where)


def of_numbers(cells_NK: np.ndarray, labels_NK: np.ndarray, names: list[str]) -> tuple[Entries, dict[str, str]]:
    """The same from numbers (N, K): 0 not looked at, 1 kept, -1 changed to what labels_NK says."""
    counts = Counter(
        {
            KEPT: int((cells_NK == 1).sum()),
            ADDED: int(((cells_NK == -1) & (labels_NK == 1)).sum()),
            REMOVED: int(((cells_NK == -1) & (labels_NK != 1)).sum()),
        }
    )
    return Entries.of_cells(cells_NK != 0, names), note(counts)
