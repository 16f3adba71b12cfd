"""Where classes are cut into many-, medium- and few-shot ones."""

from __future__ import annotations

import numpy as np

AUTO = "auto"


def group_cuts(positives_K: np.ndarray, many: int | str, medium: int | str) -> tuple[int, int]:
    """The training positives from which a class is many-shot and medium-shot; the first is the larger one.

    positives_K: training positives of each class. many, medium: numbers, which stay as they are, or AUTO both: a third
    of the classes each, as near as classes of equal frequency allow.
    """
    if AUTO not in (many, medium):
        return int(many), int(medium)
    counts_K = np.asarray(positives_K)
    upper, lower = (round(float(np.quantile(counts_K, share))) if len(counts_K) else 0 for share in (2 / 3, 1 / 3))
    lower = max(lower, 1)
    return max(upper, lower + 1), lower
