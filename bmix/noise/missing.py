"""Missing labels: positives turn absent."""

from __future__ import annotations

import numpy as np

from bmix.noise.labels import positives
from bmix.noise.request import Request


def missing(labels_NK: np.ndarray, request: Request, rng: np.random.Generator) -> np.ndarray:
    """Each positive turns absent with probability `rate`, be it the last of its image or class."""
    cells = positives(labels_NK)
    left_NK = labels_NK.copy()
    left_NK.reshape(-1)[cells[rng.random(len(cells)) < request.rate]] = 0
    return left_NK
