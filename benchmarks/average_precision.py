"""Average precision of as many images as MS-COCO's validation split has; the peer is scikit-learn, class by class."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks.noise import CLASSES, long_tailed
from bmix.evaluation.metrics import average_precision

IMAGES = 40_137
ROUNDS = 5


def bench(images: int = IMAGES, rounds: int = ROUNDS) -> dict[str, Any]:
    """Time ours and the peer in turn on continuous scores, then compare both on scores full of ties as well."""
    scores_NK, labels_NK = predictions(images)
    print(f"{images} x {CLASSES}, scores float32; {rounds} rounds of both in turn, ours the median of five in each")
    seconds = []
    for _ in range(rounds):
        ours = median(_seconds(average_precision, scores_NK, labels_NK) for _ in range(5))
        seconds.append((ours, _seconds(by_class, scores_NK, labels_NK)))
    ours, peer = (median(column) for column in zip(*seconds, strict=True))
    print(f"ours {1000 * ours:8.2f} ms\npeer {1000 * peer:8.2f} ms")
    differences = {
        name: float(np.abs(average_precision(scores, labels_NK) - by_class(scores, labels_NK)).max())
        for name, scores in {"continuous": scores_NK, "ties": scores_NK.round(2)}.items()
    }
    return {"ours": ours, "peer": peer, "ratio": round(peer / ours, 2), "rounds": rounds, "differences": differences}


def predictions(images: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores float32 (N, K) in (0, 1), and labels uint8 (N, K) of which every class has at least one."""
    labels_NK = long_tailed(images)
    labels_NK[0] = 1
    logits_NK = 2 * np.random.default_rng(0).standard_normal(labels_NK.shape) - 4 + 4.0 * labels_NK
    return (1 / (1 + np.exp(-logits_NK))).astype(np.float32), labels_NK


def by_class(scores_NK: np.ndarray, labels_NK: np.ndarray) -> np.ndarray:
    columns = zip(labels_NK.T, scores_NK.T, strict=True)
    return np.array([average_precision_score(labels_N, scores_N) for labels_N, scores_N in columns])


def _seconds(measure: Callable[[np.ndarray, np.ndarray], np.ndarray], scores: np.ndarray, labels: np.ndarray) -> float:
    start = time.perf_counter()
    measure(scores, labels)
    return time.perf_counter() - start
