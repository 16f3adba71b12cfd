"""Whole instances with a wrong label, found by the audit, in the form of cleanlab's public multi-label benchmark.

`python -m benchmarks.audit_images --sizes small large --draws 3`. Word counts of scikit-learn's generator of
multi-label data, each row scaled to length 1, in the two sizes of "Identifying Incorrect Annotations in Multi-Label
Classification Data" (Thyagarajan et al. 2022, arXiv 2211.13895): 5,000 rows of 3 numbers and 4 classes, and 30,000 of
20 and 50. Each class flips a share of its labels, 2 % on average by a gamma distribution, on either side, at most three
in a row. The draws are our own, so that figures beside each other here can be compared, and published ones only
roughly.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import average_precision_score

from benchmarks.audit import FOLDS, logistic_scores
from bmix.audit.arrays import audit_labels
from bmix.audit.folds import stratified_folds

SIZES = {"small": (5_000, 3, 4, 2), "large": (30_000, 20, 50, 5)}
"""Rows, numbers, classes, and labels of a row on average."""
MOST_WRONG = 3
DECAY = 0.8
"""Of cleanlab's default aggregation: a label's weight in the average over an instance, from its best to its worst."""


def bench() -> dict[str, Any]:
    """The small size, one draw."""
    return compare("small", 0)


def compare(size: str, draw: int) -> dict[str, Any]:
    """Average precision with which each method ranks the instances with a wrong label, printed a line each."""
    features_ND, given_NK, true_NK = instances(*SIZES[size], np.random.default_rng(draw))
    wrong_N = (given_NK != true_NK).any(axis=1)
    audit = audit_labels(features_ND.astype(np.float32), given_NK)
    fold_N = stratified_folds(given_NK, FOLDS, np.random.default_rng(0))
    share_NK = np.stack([logistic_scores(features_ND, column, fold_N, 1.0) for column in given_NK.T], axis=1)
    right_NK = np.where(given_NK == 1, share_NK, 1 - share_NK)
    rankings = {
        "audit, averaged": 1 - averaged(1 / (1 + np.exp(-audit.quality))),
        "audit, worst label": -audit.quality.min(axis=1),
        "logistic regression, averaged": 1 - averaged(right_NK),
        "logistic regression, worst label": 1 - right_NK.min(axis=1),
    }
    figures: dict[str, Any] = {"wrong_instances": float(wrong_N.mean())}
    for name, doubt_N in rankings.items():
        figures[name] = float(average_precision_score(wrong_N, doubt_N))
        print(f"{size:<8}{draw:<4}{name:<36}{figures[name]:.3f}", flush=True)
    return figures


def averaged(right_NK: np.ndarray) -> np.ndarray:
    """cleanlab's exponential moving average over an instance's labels, from the likeliest right to the least, (N,)."""
    ordered_NK = -np.sort(-right_NK, axis=1)
    average_N = ordered_NK[:, 0]
    for column in ordered_NK.T[1:]:
        average_N = DECAY * column + (1 - DECAY) * average_N
    return average_N


def instances(
    rows: int, numbers: int, classes: int, labels: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (N, D), given and true labels int8 (N, K)."""
    counts_ND, true_NK = make_multilabel_classification(
        rows, numbers, n_classes=classes, n_labels=labels, length=500, random_state=int(rng.integers(2**31))
    )
    features_ND = counts_ND / np.maximum(np.linalg.norm(counts_ND, axis=1, keepdims=True), 1e-12)
    true_NK, given_NK = true_NK.astype(np.int8), true_NK.astype(np.int8)
    for k in range(classes):
        both = min(2 * rng.gamma(2, 0.01), 0.9)
        added = rng.uniform(0, both)
        rate_N = np.where(true_NK[:, k] == 1, both - added, added)
        hit_N = (rng.random(rows) < rate_N) & ((given_NK != true_NK).sum(axis=1) < MOST_WRONG)
        given_NK[:, k] ^= hit_N
    return features_ND, given_NK, true_NK


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit_images", description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--draws", type=int, default=1)
    arguments = parser.parse_args()
    for size in arguments.sizes:
        for draw in range(arguments.draws):
            compare(size, draw)


if __name__ == "__main__":
    main()
