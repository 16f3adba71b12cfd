"""Missing labels: one positive of each image is kept."""

from __future__ import annotations

import numpy as np

from bmix.noise.labels import positives
from bmix.noise.request import Request


def single_positive(labels_NK: np.ndarray, request: Request, rng: np.random.Generator) -> np.ndarray:
    """Of each image's positives one is kept, each as likely."""
    cells = positives(labels_NK)
    count = np.bincount(cells // labels_NK.shape[1], minlength=len(labels_NK))
    count = count[count > 0]
    kept = count.cumsum() - count + rng.integers(count)
    single_NK = np.zeros_like(labels_NK)
    single_NK.reshape(-1)[cells[kept]] = 1
    return single_NK
