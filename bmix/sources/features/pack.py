"""A file of features that is open, whichever its format: everything but the numbers, and these by chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bmix.support.errors import InputError


@dataclass(frozen=True)
class Pack:
    """A file of features that is open.

    shape: (N, V, D). dtype: float16 where the file holds that, else float32. labels_NK: int8 of 0, 1, -1. parts: what
    the file says of each row's split, None where it says nothing. chunks: gives the numbers by chunks (B, V, D).
    """

    where: str
    shape: tuple[int, int, int]
    dtype: np.dtype
    labels_NK: np.ndarray
    classes: list[str]
    ids: list[str]
    parts: list[str] | None
    chunks: Callable[[], Iterator[np.ndarray]]


def refuse_nothing(where: str, shape: tuple[int, int, int]) -> None:
    """InputError where there is no row, no view or no number."""
    if 0 in shape:
        found = "the data set is empty" if shape[0] == 0 else f"X has the shape (N, V, D) = {shape}"
        raise InputError(where, found, "rows, views and numbers", "check that the right file is named")
