"""Features of classes that lie apart, with labels of which some are wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spoilt:
    """features float32 (N, D); given and true int8 (N, K)."""

    features: np.ndarray
    given: np.ndarray
    true: np.ndarray


def spoilt_labels(
    rows: int = 600, classes: int = 6, wrong: float = 0.15, apart: float = 4.0, seed: int = 0, width: int = 24
) -> Spoilt:
    """Each true class shifts the features along a direction of its own; a share of the positives moves elsewhere.
    Every row has a true class.

    Class k holds about a fraction 0.4 / (k + 1) of the rows, and at least one in 30.
    """
    rng = np.random.default_rng(seed)
    share_K = np.maximum(0.4 / (1 + np.arange(classes)), 1 / 30)
    true = (rng.random((rows, classes)) < share_K).astype(np.int8)
    bare = np.flatnonzero(true.sum(axis=1) == 0)
    true[bare, rng.choice(classes, len(bare), p=share_K / share_K.sum())] = 1
    directions = np.linalg.qr(rng.standard_normal((width, classes)))[0].T
    features = rng.standard_normal((rows, width)) + true @ directions * apart
    given = true.copy()
    for row, column in zip(*np.nonzero(true), strict=True):
        if rng.random() < wrong and (absent := np.flatnonzero(true[row] == 0)).size:
            given[row, column], given[row, rng.choice(absent)] = 0, 1
    return Spoilt(features.astype(np.float32), given, true)
