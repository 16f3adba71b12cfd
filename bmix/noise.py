"""Label noise on label matrices: mislabelling (eq. 11), random flips, a single positive; and how much was injected."""

from __future__ import annotations

from typing import Any

import numpy as np

from bmix.errors import InputError, nearest

KINDS: tuple[str, ...] = ("none", "mislabel", "flip", "single-positive")
_LABELS_AT_ONCE = 2**20
_REJECTION_ROUNDS = 12


def inject(labels: np.ndarray, kind: str, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Noisy labels (N, K) uint8 from true ones (N, K) of 0 and 1, any dtype; the input stays as it is.

    - `none`: a copy.
    - `mislabel` (eq. 11): each positive is hit with probability `rate`; a hit class i turns absent, and a class j that
      the image neither truly shows nor already got in place of another turns present, drawn in proportion to its number
      of positives N_j. So an image keeps its number of labels: two hits of one image never fall on the same class, and
      the first is distributed as eq. 11 says. Where hits outnumber the classes left to draw, as in an image that shows
      every class, the surplus keep their label.
    - `flip`: each of the N·K labels flips with probability `rate`.
    - `single-positive`: of each image's positives one is kept, each as likely; `rate` is unused.

    Raises InputError for labels that are not a matrix of 0 and 1, an unknown kind, and a rate outside [0, 1).
    """
    labels_NK = _checked(labels, "labels")
    if kind not in KINDS:
        raise InputError("noise.kind", repr(kind), f"one of {', '.join(KINDS)}", f"correct it.{nearest(kind, KINDS)}")
    if not 0 <= rate < 1:
        raise InputError("noise.rate", str(rate), "a number from 0 to below 1", "correct noise.rate")
    if kind == "mislabel":
        return _mislabel(labels_NK, rate, rng)
    if kind == "flip":
        return _flip(labels_NK, rate, rng)
    if kind == "single-positive":
        return _single_positive(labels_NK, rng)
    return labels_NK.copy()


def transition(true: np.ndarray, given: np.ndarray) -> np.ndarray:
    """How labels changed: int64 (K, 2, 2), labels of each class counted by [class, true value, given value]."""
    true_NK, given_NK = _checked(true, "true labels"), _checked(given, "given labels")
    if true_NK.shape != given_NK.shape:
        raise InputError(
            "given labels",
            f"shape {given_NK.shape}",
            f"that of the true labels, {true_NK.shape}",
            "pass labels that match",
        )
    both = (true_NK & given_NK).sum(axis=0, dtype=np.int64)
    removed = true_NK.sum(axis=0, dtype=np.int64) - both
    added = given_NK.sum(axis=0, dtype=np.int64) - both
    return np.stack([len(true_NK) - both - removed - added, added, removed, both], axis=1).reshape(-1, 2, 2)


def measured_rates(true: np.ndarray, given: np.ndarray) -> dict[str, Any]:
    """What noise did to the labels (N, K), as counts and shares ready for JSON, over all classes and `per_class`.

    `removed` positives turned absent and `added` negatives turned present; `changed` is their sum. `removed_rate` is a
    share of the true positives, `added_rate` of the true negatives, `changed_rate` of all labels; a share of nothing is
    0. The injected rate τ compares with `removed_rate` for mislabel, and with `changed_rate`, or either of the others,
    for flip. For single-positive `removed_rate` is the share of positives that were hidden. `per_class` holds one such
    dict per class in column order.
    """
    counts = transition(true, given)
    return {**_rates(counts.sum(axis=0)), "per_class": [_rates(each) for each in counts]}


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


def _mislabel(labels_NK: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    positives_K = labels_NK.sum(axis=0, dtype=np.int64)
    image, label = np.nonzero(labels_NK)
    chance = rng.random(len(image))
    hit = np.flatnonzero(chance < rate)
    left_N = np.count_nonzero(positives_K) - labels_NK.sum(axis=1, dtype=np.int64)
    hit = hit[_within(image[hit], chance[hit], left_N)]

    occupied_NK = labels_NK.copy()
    _occupy(occupied_NK, image[hit], positives_K, rng)
    occupied_NK[image[hit], label[hit]] = 0
    return occupied_NK


def _within(image: np.ndarray, chance: np.ndarray, left_N: np.ndarray) -> np.ndarray:
    """Which hits to keep, so that no image has more than are left for it: those of the smallest chance."""
    keep = np.ones(len(image), dtype=bool)
    tight = np.flatnonzero(np.bincount(image, minlength=len(left_N))[image] > left_N[image])
    tight = tight[np.lexsort((chance[tight], image[tight]))]
    rank = np.arange(len(tight)) - np.searchsorted(image[tight], image[tight])
    keep[tight] = rank < left_N[image[tight]]
    return keep


def _occupy(occupied_NK: np.ndarray, image: np.ndarray, positives_K: np.ndarray, rng: np.random.Generator) -> None:
    """Give each listed image a class that it does not have yet, in proportion to `positives_K`, in place.

    Draws that meet an occupied class are repeated, which leaves eq. 11's distribution over the free ones; the few that
    a dozen rounds did not settle are drawn from the free ones directly.
    """
    cumulative_K = positives_K.cumsum()
    for _ in range(_REJECTION_ROUNDS):
        if not len(image):
            return
        drawn = cumulative_K.searchsorted(rng.integers(cumulative_K[-1], size=len(image)), side="right")
        free = np.flatnonzero(occupied_NK[image, drawn] == 0)
        _, first = np.unique(image[free] * len(positives_K) + drawn[free], return_index=True)
        settled = free[first]
        occupied_NK[image[settled], drawn[settled]] = 1
        image = np.delete(image, settled)
    while len(image):
        _, first = np.unique(image, return_index=True)
        for part in np.array_split(first, -(-first.size * len(positives_K) // _LABELS_AT_ONCE)):
            cumulative = np.where(occupied_NK[image[part]], 0, positives_K).cumsum(axis=1)
            drawn = (cumulative <= rng.integers(cumulative[:, -1])[:, None]).sum(axis=1)
            occupied_NK[image[part], drawn] = 1
        image = np.delete(image, first)


def _flip(labels_NK: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    flipped_NK = labels_NK.copy()
    rows = max(1, _LABELS_AT_ONCE // max(1, labels_NK.shape[1]))
    for low in range(0, len(labels_NK), rows):
        part = flipped_NK[low : low + rows]
        part ^= rng.random(part.shape, dtype=np.float32) < rate
    return flipped_NK


def _single_positive(labels_NK: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    image, label = np.nonzero(labels_NK)
    shown, first, count = np.unique(image, return_index=True, return_counts=True)
    kept = first + rng.integers(count)
    single_NK = np.zeros_like(labels_NK)
    single_NK[shown, label[kept]] = 1
    return single_NK


def _checked(labels: np.ndarray, where: str) -> np.ndarray:
    """The labels as uint8, in row-major order; InputError where they are not a matrix of 0 and 1."""
    array = np.asarray(labels)
    if array.ndim != 2:
        raise InputError(where, f"{array.ndim} dimensions", "a matrix (images, classes)", "pass one row per image")
    if array.dtype != bool:
        wrong = (array != 0) & (array != 1)
        if wrong.any():
            image, label = np.argwhere(wrong)[0].tolist()
            raise InputError(
                f"{where}, row {image}, class at index {label}",
                str(array[image, label]),
                "0 (absent) or 1 (present)",
                "turn the labels into 0 and 1 first",
            )
    return np.ascontiguousarray(array, dtype=np.uint8)
