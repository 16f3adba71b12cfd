"""The same work as `benchmarks.mixture`, against scikit-learn stopped as early as DivideMix stops it."""

from __future__ import annotations

from typing import Any

from benchmarks.mixture import IMAGES, ROUNDS, against, losses_like_coco

DIVIDEMIX = {"tol": 1e-2, "reg_covar": 5e-4, "max_iter": 10}


def bench(images: int = IMAGES, rounds: int = ROUNDS) -> dict[str, Any]:
    """Ours, run until every fit has converged, against a loop that is not."""
    return against(*losses_like_coco(images), DIVIDEMIX, rounds)
