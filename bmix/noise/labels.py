"""Label matrices as the kinds of noise take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bmix.arrays import as_array
from bmix.support.errors import InputError

_LABELS_AT_ONCE = 2**20


def positives(labels_NK: np.ndarray) -> np.ndarray:
    """The cells n·K + k of the positives, ascending, of 0/1 labels in row-major order."""
    return np.flatnonzero(labels_NK.view(bool))


def checked_labels(labels: Any, where: str) -> np.ndarray:
    """The labels as uint8, in row-major order; InputError if they are not a matrix of 0 and 1."""
    array = as_array(labels)
    if array.ndim != 2:
        raise InputError(where, f"{array.ndim} dimensions", "a matrix (images, classes)", "pass one row per image")
    rows = max(1, _LABELS_AT_ONCE // max(1, array.shape[1]))
    for low in range(0, len(array), rows):
        part = array[low : low + rows]
        # The largest of unsigned numbers tells at once, in a fraction of the time.
        if array.dtype == bool or not part.size or (array.dtype == np.uint8 and part.max() <= 1):
            continue
        wrong = (part != 0) & (part != 1)
        if wrong.any():
            image, label = np.argwhere(wrong)[0].tolist()
            raise InputError(
                f"{where}, row {low + image}, class at index {label}",
                str(part[image, label]),
                "0 (absent) or 1 (present)",
                "turn the labels into 0 and 1 first",
            )
    return np.ascontiguousarray(array, dtype=np.uint8)
