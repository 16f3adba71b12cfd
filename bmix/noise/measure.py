"""How much noise there is: what became of the true labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from bmix.arrays import as_array
from bmix.noise.labels import checked_labels
from bmix.support.errors import InputError

_LABELS_AT_ONCE = 2**20


def transition(true: Any, given: Any, ignored: Any = None) -> np.ndarray:
    """How labels (N, K) changed: int64 (K, 2, 2), those of each class counted by [class, true value, given value].

    ignored: bool (N, K), the cells to leave out of every count; None for none.
    """
    true_NK, given_NK = checked_labels(true, "true labels"), checked_labels(given, "given labels")
    ignored = None if ignored is None else as_array(ignored)
    for name, other in (("given labels", given_NK), ("ignored cells", ignored)):
        if other is not None and other.shape != true_NK.shape:
            expected = f"that of the true labels, {true_NK.shape}"
            raise InputError(name, f"shape {other.shape}", expected, f"pass {name} that match")
    counts = np.zeros((true_NK.shape[1], 2, 2), dtype=np.int64)
    rows = max(1, _LABELS_AT_ONCE // max(1, true_NK.shape[1]))
    for low in range(0, len(true_NK), rows):
        part = slice(low, low + rows)
        true_BK, given_BK = true_NK[part], given_NK[part]
        counted_K: int | np.ndarray = len(true_BK)
        if ignored is not None:
            counted_BK = ~ignored[part].astype(bool, copy=False)
            true_BK, given_BK, counted_K = true_BK & counted_BK, given_BK & counted_BK, _sums(counted_BK)
        true_K, given_K, both_K = _sums(true_BK), _sums(given_BK), _sums(true_BK & given_BK)
        negatives_K = counted_K - true_K - given_K + both_K
        counts += np.stack([negatives_K, given_K - both_K, true_K - both_K, both_K], axis=1).reshape(-1, 2, 2)
    return counts


def measured_rates(true: Any, given: Any, ignored: Any = None) -> dict[str, Any]:
    """What noise did to the labels (N, K), as counts and shares ready for JSON, over all classes and `per_class`.

    `removed` positives turned absent and `added` negatives turned present; `changed` is their sum. `removed_rate` is a
    share of the true positives, `added_rate` of the true negatives, `changed_rate` of all labels; a share of nothing is
    0. Cells of `ignored`, bool (N, K), are neither positives nor negatives; None for none. The injected rate τ compares
    with `removed_rate` for mislabel and missing, and with `changed_rate`, or either of the others, for flip. For
    single-positive `removed_rate` is the share of positives that were hidden, for class-dependent that of positives
    that turned into another class. `per_class` holds one such dict per class in column order.
    """
    counts = transition(true, given, ignored)
    return {**_rates(counts.sum(axis=0)), "per_class": [_rates(each) for each in counts]}


def _sums(cells_BK: np.ndarray) -> np.ndarray:
    return cells_BK.sum(axis=0, dtype=np.int64)


def _rates(counts_22: np.ndarray) -> dict[str, int | float]:
    (kept_negatives, added), (removed, kept_positives) = counts_22.tolist()
    positives, negatives, changed = removed + kept_positives, added + kept_negatives, removed + added
    return {
        "positives": positives,
        "negatives": negatives,
        "removed": removed,
        "removed_rate": removed / max(positives, 1),
        "added": added,
        "added_rate": added / max(negatives, 1),
        "changed": changed,
        "changed_rate": changed / max(positives + negatives, 1),
    }
