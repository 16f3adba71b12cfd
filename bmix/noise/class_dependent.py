"""Class-dependent noise: a matrix says what the positives of each class turn into."""

from __future__ import annotations

import numpy as np

from bmix.noise.labels import positives
from bmix.noise.matrix import checked_matrix
from bmix.noise.request import Request

_LABELS_AT_ONCE = 2**20
_REJECTION_ROUNDS = 12


def class_dependent(labels_NK: np.ndarray, request: Request, rng: np.random.Generator) -> np.ndarray:
    """The hits of an image are settled one after the other in random order, each by the row of its class."""
    classes = labels_NK.shape[1]
    matrix_KK = checked_matrix(request.matrix_KK, classes)
    cells = positives(labels_NK)
    cells = cells[rng.random(len(cells)) >= matrix_KK.diagonal()[cells % classes]]
    cells = cells[np.lexsort((rng.random(len(cells)), cells // classes))]
    image = cells // classes
    turn = np.arange(len(cells)) - np.searchsorted(image, image)
    cells = cells[np.argsort(turn, kind="stable")]

    occupied_NK = labels_NK.copy()
    turned = [_replace(occupied_NK, part, matrix_KK, rng) for part in np.split(cells, np.bincount(turn).cumsum()[:-1])]
    occupied_NK.reshape(-1)[np.concatenate(turned)] = 0
    return occupied_NK


def _replace(occupied_NK: np.ndarray, cells: np.ndarray, matrix_KK: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give each cell's image a class that it does not have yet, by the row of the cell's class, in place.

    cells: one per image. Returns those that found a class. Draws are repeated as in `_occupy`.
    """
    classes = len(matrix_KK)
    occupied = occupied_NK.reshape(-1)
    share_KK = matrix_KK * (1 - np.eye(classes))
    # All rows in one ascending list, row i from i to i + 1, find a class for every row by one search.
    row_K = np.arange(classes)
    mass_K = share_KK.sum(axis=1)
    cumulative_KK = share_KK.cumsum(axis=1) / np.maximum(mass_K, np.finfo(float).tiny)[:, None]
    last_K = classes - 1 - (share_KK[:, ::-1] > 0).argmax(axis=1)
    cumulative_KK[row_K >= last_K[:, None]] = 1
    cumulative = (cumulative_KK + row_K[:, None]).reshape(-1)

    turned = []
    cells = cells[mass_K[cells % classes] > 0]
    for _ in range(_REJECTION_ROUNDS):
        row = cells % classes
        drawn = np.minimum(row + rng.random(len(cells)), np.nextafter(row + 1, 0))
        new = cells - row + cumulative.searchsorted(drawn, side="right") - row * classes
        free = occupied[new] == 0
        occupied[new[free]] = 1
        turned.append(cells[free])
        cells = cells[~free]
    for part in np.array_split(cells, max(1, -(-cells.size * classes // _LABELS_AT_ONCE))):
        image, row = part // classes, part % classes
        cumulative_BK = np.where(occupied_NK[image], 0, share_KK[row]).cumsum(axis=1)
        possible = np.flatnonzero(cumulative_BK[:, -1] > 0)
        cumulative_BK, total_B = cumulative_BK[possible], cumulative_BK[possible, -1]
        drawn = np.minimum(rng.random(len(possible)) * total_B, np.nextafter(total_B, 0))
        occupied_NK[image[possible], (cumulative_BK <= drawn[:, None]).sum(axis=1)] = 1
        turned.append(part[possible])
    return np.concatenate(turned)
