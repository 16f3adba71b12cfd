"""Mislabelling (eq. 11): a present class turns into an absent one."""

from __future__ import annotations

import numpy as np

from bmix.noise.labels import positives
from bmix.noise.request import Request

_LABELS_AT_ONCE = 2**20
_REJECTION_ROUNDS = 12


def mislabel(labels_NK: np.ndarray, request: Request, rng: np.random.Generator) -> np.ndarray:
    """Each positive is hit with probability `rate`; its replacement is drawn in proportion to class frequency."""
    images, classes = labels_NK.shape
    cells = positives(labels_NK)
    image = cells // classes
    positives_K = np.bincount(cells - image * classes, minlength=classes)
    chance = rng.random(len(cells))
    hit = np.flatnonzero(chance < request.rate)
    left_N = np.count_nonzero(positives_K) - np.bincount(image, minlength=images)
    hit = hit[_within(image[hit], chance[hit], left_N)]

    occupied_NK = labels_NK.copy()
    _occupy(occupied_NK, image[hit], positives_K, rng)
    occupied_NK.reshape(-1)[cells[hit]] = 0
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

    image: ascending. Draws that meet an occupied class are repeated, which leaves eq. 11's distribution over the free
    ones; the few that a dozen rounds did not settle are drawn from the free ones directly.
    """
    classes = len(positives_K)
    occupied = occupied_NK.reshape(-1)
    class_of_positive = np.repeat(np.arange(classes, dtype=np.int32), positives_K)
    for _ in range(_REJECTION_ROUNDS):
        if not len(image):
            return
        cells = image * classes + class_of_positive[rng.integers(len(class_of_positive), size=len(image))]
        taken = occupied[cells] == 1
        free = np.sort(cells[~taken], kind="stable")  # almost in order
        occupied[free] = 1
        twice = free[1:][free[1:] == free[:-1]]
        image = np.sort(np.concatenate([image[taken], twice // classes]), kind="stable")
    while len(image):
        _, first = np.unique(image, return_index=True)
        for part in np.array_split(first, -(-first.size * classes // _LABELS_AT_ONCE)):
            cumulative = np.where(occupied_NK[image[part]], 0, positives_K).cumsum(axis=1)
            drawn = (cumulative <= rng.integers(cumulative[:, -1])[:, None]).sum(axis=1)
            occupied_NK[image[part], drawn] = 1
        image = np.delete(image, first)
