"""Seeded splits of a multi-label data set that keep each class's share."""

from __future__ import annotations

import numpy as np

from bmix.randomness import numpy_generator

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def stratified_splits(labels_NK: np.ndarray, seed: int) -> np.ndarray:
    """A split name for each image by iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011).

    labels_NK: 0/1. Returns object (N,) of the names in SHARES. The rarest class is dealt out first, each image to the
    split that lacks most of that class, then to the one that lacks most images, then at random. Afterwards single
    images are moved so that every class is in train, and a class of at least 3 images in every split; where classes
    overlap so that no single move can do it without taking a class from another split, it stays out of val or test.
    """
    rng = numpy_generator(seed, "splits")
    splits_N = _deal(labels_NK, np.array(list(SHARES.values())), rng)
    _fill_gaps(labels_NK, splits_N)
    return np.array(list(SHARES), dtype=object)[splits_N]


def _deal(labels_NK: np.ndarray, shares_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The split index of each image, int64 (N,)."""
    count = len(labels_NK)
    labels_KN = np.ascontiguousarray(labels_NK.T.astype(bool))
    order_N = rng.permutation(count)
    breaks_N = rng.random((count, len(shares_S)))
    columns_N = [np.flatnonzero(row) for row in labels_NK]
    wanted_S = shares_S * count
    remaining_K = labels_KN.sum(1)
    wanted_SK = shares_S[:, None] * remaining_K
    splits_N = np.full(count, -1)

    def place(image: int, wanted_of_class_S: np.ndarray) -> None:
        # Rounded, so that equal wishes are ties whatever the order of the subtractions was.
        rank = np.lexsort((breaks_N[image], wanted_S.round(6), wanted_of_class_S.round(6)))
        split = rank[-1]
        splits_N[image] = split
        wanted_S[split] -= 1
        wanted_SK[split, columns_N[image]] -= 1
        remaining_K[columns_N[image]] -= 1

    while remaining_K.any():
        rarest = int(np.where(remaining_K > 0, remaining_K, count + 1).argmin())
        for image in order_N[labels_KN[rarest, order_N] & (splits_N[order_N] < 0)]:
            place(image, wanted_SK[:, rarest])
    for image in order_N[splits_N[order_N] < 0]:
        place(image, wanted_S)
    return splits_N


def _fill_gaps(labels_NK: np.ndarray, splits_N: np.ndarray) -> None:
    """Move images, in place, into splits that lack a class; train (0) first, and never at the cost of train."""
    present_NK = labels_NK.astype(bool)
    total_K = present_NK.sum(0)
    counts_SK = np.stack([present_NK[splits_N == split].sum(0) for split in range(len(SHARES))])
    for split in range(len(SHARES)):
        for column in np.argsort(total_K, kind="stable"):
            if counts_SK[split, column] or total_K[column] < (3 if split else 1):
                continue
            for image in np.flatnonzero(present_NK[:, column]):
                donor = splits_N[image]
                last_of_class = counts_SK[donor, present_NK[image]] == 1
                if last_of_class.any() and split:
                    continue
                counts_SK[donor] -= present_NK[image]
                counts_SK[split] += present_NK[image]
                splits_N[image] = split
                break
