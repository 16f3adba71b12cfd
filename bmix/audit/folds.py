"""Folds in which every class has its share of positives, and copies of one image lie together."""

from __future__ import annotations

import numpy as np


def stratified_folds(
    given_NK: np.ndarray, count: int, rng: np.random.Generator, groups_N: np.ndarray | None = None
) -> np.ndarray:
    """A fold in 0..count-1 for each row, int64 (N,).

    given_NK: positives are the cells of 1. groups_N: rows with one number lie in one fold, int (N,); None: each row is
    its own group. Classes are dealt out from the rarest to the most frequent, as in iterative stratification
    (Sechidis, Tsoumakas, Vlahavas 2011), but a class at a time: its groups that have no fold yet go to the folds that
    have fewest of it. Groups without a positive even out the sizes. Time grows with the number of positives and N.
    """
    groups_N = np.arange(len(given_NK)) if groups_N is None else np.unique(groups_N, return_inverse=True)[1]
    rows, columns = np.nonzero(given_NK == 1)
    sizes_G = np.bincount(groups_N)
    fold_G = np.full(len(sizes_G), -1)
    size_F = np.zeros(count, np.int64)
    by_class = np.split(groups_N[rows[np.argsort(columns, kind="stable")]], _ends(columns, given_NK.shape[1]))

    def deal(groups: np.ndarray, have_F: np.ndarray) -> None:
        order = rng.permutation(groups)
        fold_G[order] = _fill(have_F, size_F, len(order), rng)
        np.add.at(size_F, fold_G[order], sizes_G[order])

    for members in sorted(by_class, key=len):
        members = np.unique(members)
        placed = fold_G[members]
        deal(members[placed < 0], np.bincount(placed[placed >= 0], minlength=count))
    left = np.flatnonzero(fold_G < 0)
    deal(left, size_F.copy())
    return fold_G[groups_N]


def _ends(columns: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(columns, minlength=classes).cumsum()[:-1]


def _fill(have_F: np.ndarray, size_F: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Folds for `count` further groups, so that what the folds then have differs as little as it can."""
    order = np.lexsort((rng.random(len(have_F)), size_F, have_F))
    sorted_F = have_F[order]
    # The lowest folds are raised to one level; the remainder goes to the first of them.
    for lowest in range(len(order), 0, -1):
        level, remainder = divmod(count + int(sorted_F[:lowest].sum()), lowest)
        if sorted_F[lowest - 1] <= level:
            break
    added = np.zeros(len(order), np.int64)
    added[:lowest] = level - sorted_F[:lowest]
    added[:remainder] += 1
    return np.repeat(order, added)
