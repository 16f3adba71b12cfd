"""Columns of cells that grow while a file of text is read, by batches of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bmix.sources.cells import Cells, origins
from bmix.support.errors import InputError

# Few values repeat in most columns without a role; a batch of this size can be numbered in 16 bits.
BATCH = 32_767
_CODED = pa.dictionary(pa.int16(), pa.string())


class Columns:
    """Columns of cells, with the line of each row."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path = path
        self.chunks: dict[int, list[pa.Array]] = {position: [] for position in range(len(names))}
        self.names = list(names)
        self.lines: list[np.ndarray] = []

    def add(self, batch: dict[int, pa.Array], lines: list[int]) -> None:
        """Add rows: cells by the column's position, none for a column left out; and the line of each row.

        InputError for a null character in a text.
        """
        for position, cells in batch.items():
            self._refuse_null_characters(self.names[position], cells, lines)
        for position, chunks in self.chunks.items():
            chunks.append(batch.get(position, pa.nulls(len(lines))))
        self.lines.append(np.array(lines, np.int64))

    def add_name(self, name: str) -> int:
        """Add a column, without a cell in the rows that are already there; its position."""
        self.names.append(name)
        position = len(self.names) - 1
        self.chunks[position] = [pa.nulls(len(lines)) for lines in self.lines]
        return position

    def _refuse_null_characters(self, name: str, cells: pa.Array, lines: list[int]) -> None:
        # Other programs cut such a text off, or pass over the character.
        if pa.types.is_dictionary(cells.type):
            cells = cells.dictionary_decode()
        text = pc.list_flatten(cells) if pa.types.is_list(cells.type) else cells
        if not pa.types.is_string(text.type):
            return
        faulty = pc.match_substring(text, "\0")
        if pc.any(faulty).as_py():
            rows = pc.list_parent_indices(cells) if text is not cells else pa.array(range(len(cells)))
            row = rows[pc.index(faulty, True).as_py()].as_py()
            raise InputError(
                f"{self.path}, line {lines[row]}",
                f"column {name} has a null character",
                "text in UTF-8",
                "save the table as UTF-8 text anew, or remove the character",
            )

    def cells(self, all_names: list[str], roles: dict[str, str], form: str = "") -> Cells:
        """All rows, with what is known of the file: every column, the roles, and how it is written."""
        columns = [_joined(self.chunks[position]) for position in range(len(self.names))]
        lines = np.concatenate([np.zeros(0, np.int64), *self.lines])
        here = {role: name for role, name in roles.items() if name in self.names}
        return Cells(pa.table(columns, names=self.names), origins(self.path, "line", lines), all_names, here, form)


def _joined(chunks: list[pa.Array]) -> pa.ChunkedArray:
    kinds = [chunk.type for chunk in chunks if not pa.types.is_null(chunk.type)]
    kind = kinds[0] if kinds else pa.string()
    return pa.chunked_array(
        [chunk if not pa.types.is_null(chunk.type) else pa.nulls(len(chunk), kind) for chunk in chunks], kind
    )


def text_array(values: Any, coded: bool) -> pa.Array:
    """Texts and nulls; coded: as numbers into the texts that occur, at most BATCH of them."""
    text = pa.array(values, pa.string())
    return text.dictionary_encode().cast(_CODED) if coded else text
