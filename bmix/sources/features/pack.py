"""A file of features that is open, whichever its format: everything but the numbers, and these by chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bmix.sources.label_cells import Labels
from bmix.support.errors import InputError


@dataclass(frozen=True)
class Pack:
    """A file of features that is open.

    shape: (N, V, D). dtype: float16 where the file holds that, else float32. ids, parts: of each row; parts, what the
    file says of its split, None if it says nothing. labels: as read from the file.
    chunks: gives the numbers by chunks (B, V, D).
    """

    where: str
    shape: tuple[int, int, int]
    dtype: np.dtype
    labels: Labels
    ids: list[str]
    parts: list[str] | None
    chunks: Callable[[], Iterator[np.ndarray]]

    def frame(self) -> pd.DataFrame:
        """A row per instance with `row`, `id` and, where it is known, `split`, by where it was read."""
        rows = np.arange(self.shape[0])
        origins = pd.Index([f"{self.where}, row {row + 1}" for row in rows], name="origin", dtype=object)
        frame = pd.DataFrame({"row": rows, "id": pd.Series(self.ids, dtype=object)})
        if self.parts is not None:
            frame["split"] = pd.Series(self.parts, dtype=object)
        return frame.set_index(origins)


def refuse_nothing(where: str, shape: tuple[int, int, int]) -> None:
    """InputError if there is no row, no view or no number."""
    if 0 in shape:
        found = "the data set is empty" if shape[0] == 0 else f"X has the shape (N, V, D) = {shape}"
        raise InputError(where, found, "rows, views and numbers", "check that the right file is named")
