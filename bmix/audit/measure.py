"""How good an audit was, where the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np

LOOKED_AT = (24, 100, 500)
"""How many labels a reviewer might look at first."""
BINS = 10


def detection(badness: np.ndarray, wrong: np.ndarray) -> dict[str, float | None]:
    """How well a score puts wrong labels first: `auc`, `average_precision`, `precision_at_24`, 100 and 500, `share`.

    badness: (M,), larger is looked at sooner, equal ones in their order. wrong: bool (M,). Shares in [0, 1]; None
    where they have no meaning: without a wrong or without a right label, or with fewer than so many labels.
    """
    hits = wrong[np.argsort(-badness, kind="stable")].astype(np.float64)
    count, found = len(hits), hits.sum()
    known = 0 < found < count
    seen = np.arange(1, count + 1)
    precision = hits.cumsum() / seen
    return {
        "auc": area(badness, wrong) if known else None,
        "average_precision": float((precision * hits).sum() / found) if found else None,
        **{f"precision_at_{first}": float(precision[first - 1]) if count >= first else None for first in LOOKED_AT},
        "share": float(found / count) if count else None,
    }


def calibration_error(probability: np.ndarray, happened: np.ndarray) -> float | None:
    """The mean distance of probability and frequency over ten bins of equal width (ECE); None of nothing."""
    if not len(probability):
        return None
    bin_M = np.minimum((probability * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bin_M, probability - happened, minlength=BINS)
    return float(np.abs(gaps).sum() / len(probability))


def measured(
    p_present_NK: np.ndarray, quality_NK: np.ndarray, given_NK: np.ndarray, true_NK: np.ndarray
) -> dict[str, Any]:
    """Detection and calibration for the given positives and for the given negatives.

    given_NK: 1, 0, -1 for unknown, which counts nowhere. true_NK: 1 and 0.
    """
    result = {}
    for name, value in (("given_positives", 1), ("given_negatives", 0)):
        cells = given_NK == value
        wrong = true_NK[cells] != value
        p_wrong = p_present_NK[cells] if value == 0 else 1 - p_present_NK[cells]
        result[name] = detection(-quality_NK[cells], wrong) | {"calibration_error": calibration_error(p_wrong, wrong)}
    return result


def area(score: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive scores above a negative, one of equal score counting half."""
    _, rank, counts = np.unique(score, return_inverse=True, return_counts=True)
    middle = counts.cumsum() - (counts - 1) / 2
    positives = int(positive.sum())
    wins = middle[rank[positive]].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * (len(score) - positives)))
