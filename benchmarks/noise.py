"""Label noise at the size of MS-COCO: `bmix.noise.inject` against a loop over the images, as written from the paper."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from bmix.noise import inject

IMAGES, CLASSES, LABELS_PER_IMAGE, IMBALANCE = 82_081, 80, 2.94, 353
RATE = 0.4
ROUNDS = 5


def bench(images: int = IMAGES, rounds: int = ROUNDS) -> dict[str, Any]:
    """Time ours and the loop in turn, both over all images in each round; the ratios are of the medians."""
    labels_NK = long_tailed(images)
    shape = f"{images} x {CLASSES}, {labels_NK.sum() / images:.2f} labels per image"
    print(f"{shape}; rate {RATE}; {rounds} rounds of ours and the loop in turn, each over all images")
    print(f"{'kind':16} {'ours':>10} {'loop':>10} {'ratio':>7}")
    ours, loop = {}, {}
    for kind, by_image in LOOPS.items():
        seconds = np.array([[_ours(labels_NK, kind, r), _seconds(by_image, labels_NK, r)] for r in range(rounds)])
        ours[kind], loop[kind] = (median(column) for column in seconds.T.tolist())
        print(f"{kind:16} {ours[kind]:8.4f} s {loop[kind]:8.4f} s {loop[kind] / ours[kind]:7.1f}")
    return {
        "ratios": {kind: round(loop[kind] / ours[kind], 1) for kind in LOOPS},
        "ours_seconds": ours,
        "loop_seconds": loop,
        "rounds": rounds,
        "images": images,
        "classes": CLASSES,
        "rate": RATE,
    }


def long_tailed(images: int) -> np.ndarray:
    """Labels uint8 (N, K) with class frequencies from most to least as in MS-COCO, and at least one label an image."""
    rng = np.random.default_rng(0)
    # The share of the most frequent class is MS-COCO's .55; those of the others fall as a power down to 1/353 of it.
    frequency_K = 0.55 * np.arange(1, CLASSES + 1) ** -(np.log(IMBALANCE) / np.log(CLASSES))
    frequency_K[1:-1] *= (LABELS_PER_IMAGE - 0.55) / frequency_K[1:-1].sum()
    labels_NK = (rng.random((images, CLASSES)) < frequency_K).astype(np.uint8)
    bare = np.flatnonzero(labels_NK.sum(axis=1) == 0)
    labels_NK[bare, rng.choice(CLASSES, size=len(bare), p=frequency_K / frequency_K.sum())] = 1
    return labels_NK


def mislabel_by_image(labels_NK: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    positives_K = labels_NK.sum(axis=0).astype(np.float64)
    noisy_NK = labels_NK.copy()
    for n, true_K in enumerate(labels_NK):
        present = np.flatnonzero(true_K)
        for i in present[rng.random(len(present)) < rate]:
            weights_K = np.where(true_K | noisy_NK[n], 0.0, positives_K)
            total = weights_K.sum()
            if total > 0:
                noisy_NK[n, rng.choice(len(weights_K), p=weights_K / total)] = 1
                noisy_NK[n, i] = 0
    return noisy_NK


def flip_by_image(labels_NK: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    noisy_NK = labels_NK.copy()
    for n, true_K in enumerate(labels_NK):
        hit_K = rng.random(len(true_K)) < rate
        noisy_NK[n, hit_K] = 1 - true_K[hit_K]
    return noisy_NK


def single_positive_by_image(labels_NK: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    noisy_NK = np.zeros_like(labels_NK)
    for n, true_K in enumerate(labels_NK):
        present = np.flatnonzero(true_K)
        if len(present):
            noisy_NK[n, rng.choice(present)] = 1
    return noisy_NK


LOOPS: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "mislabel": mislabel_by_image,
    "flip": flip_by_image,
    "single-positive": single_positive_by_image,
}


def _ours(labels_NK: np.ndarray, kind: str, seed: int) -> float:
    """A call takes milliseconds, so that one round is the median of five."""
    return median(
        _seconds(lambda labels, rate, rng: inject(labels, kind, rate, rng), labels_NK, 5 * seed + each)
        for each in range(5)
    )


def _seconds(
    noise: Callable[[np.ndarray, float, np.random.Generator], np.ndarray], labels_NK: np.ndarray, seed: int
) -> float:
    rng = np.random.default_rng(seed)
    start = time.perf_counter()
    noise(labels_NK, RATE, rng)
    return time.perf_counter() - start
