"""Average precision per class, its means over groups of classes, and precision-recall curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bmix.arrays import as_array
from bmix.support.errors import InputError

GROUPS = ("many", "medium", "few")

_BUCKET_BITS = 14


def average_precision(scores_NK: Any, labels_NK: Any) -> np.ndarray:
    """Average precision of each class: the mean, over its positives, of the precision at that positive's score.

    This is sum_n (R_n - R_{n-1}) P_n over the distinct scores: instances with equal scores are called together.

    Args:
        scores_NK: finite real numbers, higher for "present"; ndarray or tensor.
        labels_NK: 1 present, 0 absent, -1 ignored (the cell counts neither way); any dtype, bool included.

    Returns:
        (K,) float64 in (0, 1]; NaN for a class without a positive.

    Raises:
        InputError: shapes that differ or are not (N, K), a score that is no finite real number, a label other than
            -1, 0 and 1.
    """
    scores_KN, labels_KN = _by_class(scores_NK, labels_NK)
    average_K = np.full(len(scores_KN), np.nan)
    for k, ranking in enumerate(map(_rank_positives, scores_KN, labels_KN)):
        if len(ranking.found):
            average_K[k] = np.mean(ranking.found / ranking.called)
    return average_K


def mean_average_precision(
    ap: Any, train_positives: Any = None, thresholds: tuple[int, int] = (10000, 1000)
) -> dict[str, Any]:
    """Mean of the classes' average precision, over all classes and over those with many, medium, few positives.

    Args:
        ap: (K,) from `average_precision`; NaN classes are left out of every mean, and counted.
        train_positives: (K,) positives of each class in training; None: no groups.
        thresholds: many-shot has at least the first number of training positives, medium-shot at least the second.

    Returns:
        `all`, `many`, `medium`, `few`: fractions in [0, 1], None for a group without a measured class;
        `classes`: the number of measured classes under the same four keys; `left_out`: the number of NaN classes.

    Raises:
        InputError: `ap` and `train_positives` of different length, or thresholds in the wrong order.
    """
    ap_K = np.asarray(as_array(ap), dtype=np.float64)
    measured_K = ~np.isnan(ap_K)
    members = {"all": measured_K}
    if train_positives is None:
        members |= {group: np.zeros_like(measured_K) for group in GROUPS}
    else:
        groups_K = class_groups(train_positives, thresholds)
        if groups_K.shape != ap_K.shape:
            raise InputError(
                "mean_average_precision",
                f"{ap_K.shape} average precisions beside {groups_K.shape} counts of training positives",
                "one of each per class",
                "give both in the order of the classes",
            )
        members |= {group: measured_K & (groups_K == group) for group in GROUPS}
    means: dict[str, Any] = {name: float(ap_K[mask].mean()) if mask.any() else None for name, mask in members.items()}
    counts = {name: int(mask.sum()) for name, mask in members.items()}
    return means | {"classes": counts, "left_out": int((~measured_K).sum())}


def class_groups(train_positives: Any, thresholds: tuple[int, int]) -> np.ndarray:
    """The group of each class by its training positives: "many", "medium" or "few"; (K,) of str."""
    many, medium = thresholds
    if medium >= many:
        raise InputError("thresholds", f"{thresholds}", "many above medium", "give (many, medium), e.g. (10000, 1000)")
    positives_K = as_array(train_positives)
    return np.select([positives_K >= many, positives_K >= medium], ["many", "medium"], "few")


def precision_recall_curves(scores_NK: Any, labels_NK: Any, points: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Recall and precision of each class along its ranking, at no more than `points` distinct scores.

    Returns:
        per class two float64 arrays of equal length, recall rising to 1; both empty for a class without a positive.
        The points are spread evenly over the positives, and the last one has recall 1.

    Raises:
        InputError: as `average_precision`.
    """
    curves = []
    for ranking in map(_rank_positives, *_by_class(scores_NK, labels_NK)):
        total = len(ranking.found)
        kept = np.linspace(0, total - 1, num=min(points, total)).round().astype(int)
        found, first = np.unique(ranking.found[kept], return_index=True)
        called = ranking.called[kept][first]
        curves.append((found / max(total, 1), found / called))
    return curves


@dataclass(frozen=True)
class _Ranking:
    """For each positive of one class, best first: positives (`found`) and instances (`called`) scored no lower."""

    found: np.ndarray
    called: np.ndarray


def _rank_positives(scores_N: np.ndarray, labels_N: np.ndarray) -> _Ranking:
    """Buckets of scores, counted; only the negatives that share one with a positive are sorted, which are few."""
    if labels_N.min(initial=0) < 0:
        scores_N, labels_N = scores_N[labels_N >= 0], labels_N[labels_N >= 0]
    at_positives = np.flatnonzero(labels_N.view(np.bool_))
    positives = np.sort(scores_N[at_positives])
    total = len(positives)
    if not total:
        return _Ranking(positives, positives)

    key_N, positive_keys = _ordered_keys(scores_N), _ordered_keys(positives)
    lowest, highest = int(positive_keys[0]), int(key_N.max())
    shift = max(0, (highest - lowest).bit_length() - _BUCKET_BITS)
    # All that is below the lowest positive shares bucket 0.
    offset = (lowest >> shift) - 1
    bucket_N = (np.maximum(key_N >> shift, offset) - offset).astype(np.intp)
    occupied = (positive_keys >> shift) - offset

    near_buckets = np.zeros((highest >> shift) - offset + 1, dtype=bool)
    near_buckets[occupied] = True
    near_N = near_buckets.take(bucket_N, mode="clip")
    near_N[at_positives] = False
    near_negatives = np.sort(scores_N[near_N])
    far_negatives = np.bincount(bucket_N)
    far_negatives[occupied] = 0

    negatives_below = far_negatives.cumsum()[occupied] + np.searchsorted(near_negatives, positives)
    rises = np.concatenate(([True], positives[1:] != positives[:-1]))
    found = total - np.maximum.accumulate(np.where(rises, np.arange(total), 0))
    called = found + len(scores_N) - total - negatives_below
    return _Ranking(found[::-1], called[::-1])


def _ordered_keys(scores: np.ndarray) -> np.ndarray:
    """Integers in the order of the floats, and equal where they are: their bits, counted from -0 down below it."""
    bits = scores.view(f"i{scores.itemsize}")
    return bits if bits.min(initial=0) >= 0 else np.where(bits < 0, np.iinfo(bits.dtype).min - bits, bits)


def _by_class(scores_NK: Any, labels_NK: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both matrices checked, class by class in memory: (K, N) float and (K, N) int8."""
    scores, labels = as_array(scores_NK), as_array(labels_NK)
    for name, array, kinds in (("scores", scores, "biuf"), ("labels", labels, "biufO")):
        if array.dtype.kind not in kinds:
            raise InputError(name, f"type {array.dtype}", "real numbers", f"turn the {name} into numbers first")
    if scores.ndim != 2 or scores.shape != labels.shape:
        raise InputError(
            "average precision",
            f"scores of shape {scores.shape} beside labels of shape {labels.shape}",
            "two matrices of the same shape (images, classes)",
            "give one row per image and one column per class in both",
        )
    if not np.isfinite(scores).all():
        row, column = np.argwhere(~np.isfinite(scores))[0]
        raise InputError(
            f"scores, row {row}, class {column}",
            f"{scores[row, column]}",
            "a finite number",
            "look for overflow in the model or a training that diverged",
        )
    if not _are_labels(labels):
        row, column = np.argwhere(~np.isin(labels, (-1, 0, 1)))[0]
        raise InputError(
            f"labels, row {row}, class {column}",
            f"{labels[row, column]}",
            "1 (present), 0 (absent) or -1 (ignored)",
            "turn the labels into these values",
        )
    scores = scores if scores.dtype in (np.float16, np.float32, np.float64) else scores.astype(np.float64)
    labels = labels.view(np.int8) if labels.dtype.itemsize == 1 else labels.astype(np.int8)
    return np.ascontiguousarray(scores.T), np.ascontiguousarray(labels.T)


def _are_labels(labels: np.ndarray) -> bool:
    if np.issubdtype(labels.dtype, np.integer):
        return labels.size == 0 or (labels.min() >= -1 and labels.max() <= 1)
    return labels.dtype == np.bool_ or bool(np.isin(labels, (-1, 0, 1)).all())
