"""The audit of labels: how long it takes, and what it finds, beside logistic regression and cleanlab.

`python -m benchmarks.audit FEATURES.npz` compares them on the training rows of a file that the source `features` reads,
view 0, with noise injected into its labels; `--rows 600 --draws 3` on as many random parts of it. Of a file that holds
`given` labels beside the `true` ones, as they came.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bmix.audit.arrays import FOLDS, audit_labels
from bmix.audit.folds import stratified_folds
from bmix.audit.labels import LabelAudit
from bmix.audit.measure import detection
from bmix.audit.ridge import blocks_of, out_of_fold_scores
from bmix.noise import inject

IMAGES, FEATURES, CLASSES = 82_081, 1280, 80
LOGISTIC_CLASSES = 2
THREADS = 2
ONLY_MISSING = ("missing", "single-positive")
"""Kinds of noise after which every given positive is right, so that the missing ones are looked for."""


def bench_speed(images: int = IMAGES, features: int = FEATURES, classes: int = CLASSES) -> dict[str, Any]:
    """Out-of-fold scores at the size of MS-COCO; 5-fold logistic regression is extrapolated from a few classes."""
    features_ND, given_NK, true_NK = pictures(images, features, classes)
    fold_N = stratified_folds(given_NK, FOLDS, np.random.default_rng(0))
    with threadpool_limits(THREADS):
        started = time.perf_counter()
        found = out_of_fold_scores(blocks_of(features_ND), given_NK, fold_N)
        ours = time.perf_counter() - started
        chosen = np.linspace(0, classes - 1, LOGISTIC_CLASSES).astype(int)
        started = time.perf_counter()
        logistic_NC = np.stack([logistic_scores(features_ND, given_NK[:, k], fold_N) for k in chosen], axis=1)
        theirs = (time.perf_counter() - started) / len(chosen) * classes
    areas = [
        float(np.mean([roc_auc_score(true_NK[:, k], scores[:, column]) for column, k in enumerate(chosen)]))
        for scores in (found.scores_NK[:, chosen], logistic_NC)
    ]
    print(f"{images:,} × {features:,} numbers, {classes} classes, {FOLDS} folds")
    print(f"ridge, all classes, a penalty chosen for each: {ours:.1f} s, AUC of the truth {areas[0]:.4f}")
    print(f"logistic regression, from {len(chosen)} classes: {theirs:,.0f} s, AUC of the truth {areas[1]:.4f}")
    print(f"ratio {theirs / ours:.0f}")
    return {
        "seconds": ours,
        "logistic_seconds": theirs,
        "ratio": theirs / ours,
        "auc": areas[0],
        "logistic_auc": areas[1],
    }


def bench_detection() -> dict[str, Any]:
    """How wrong given positives are found, beside a logistic regression and cleanlab, if that is installed."""
    features_ND, _, true_NK = pictures(2_500, 256, 20)
    return compare(features_ND, true_NK, ("mislabel 0.1", "mislabel 0.4", "flip 0.2"), seed=1)


def compare(features_ND: np.ndarray, true_NK: np.ndarray, noises: Sequence[str], seed: int) -> dict[str, Any]:
    """The table of `rankings` for kinds of injected noise. true_NK: 1, 0, and -1 for unknown."""
    figures: dict[str, Any] = {}
    print_head()
    for noise in noises:
        kind, rate = noise.split()
        clean_NK = (true_NK == 1).astype(np.uint8)
        given_NK = inject(clean_NK, kind, float(rate), np.random.default_rng(seed)).astype(np.int8)
        given_NK[true_NK < 0] = -1
        figures |= compare_labels(features_ND, given_NK, true_NK, noise, int(kind not in ONLY_MISSING))
    return figures


def print_head() -> None:
    print(f"{'labels':<18}{'by':<24}{'AUC':>7}{'AP':>7}{'first 24':>10}{'wrong':>8}{'estimated':>11}")


def compare_labels(
    features_ND: np.ndarray, given_NK: np.ndarray, true_NK: np.ndarray, noise: str, value: int
) -> dict[str, Any]:
    """How the wrong ones among the given labels of one value are found, by each method, printed a line each."""
    figures: dict[str, Any] = {}
    audit, found_by = rankings(features_ND, given_NK)
    table, names = audit.classes, (("missing_share", "negatives"), ("wrong_share", "positives"))[value]
    estimated = float((table[names[0]] * table[names[1]]).sum() / table[names[1]].sum())
    for name, quality_NK in found_by.items():
        labels = given_NK == value
        found = detection(-quality_NK[labels], true_NK[labels] != value)
        cells = _cell(found["auc"], 7) + _cell(found["average_precision"], 7) + _cell(found["precision_at_24"], 10)
        counted = f"{found['share']:>8.3f}{estimated:>11.3f}" if name == "audit" else ""
        print(f"{noise:<18}{name:<24}{cells}{counted}", flush=True)
        figures[f"{noise}, {name}"] = found
    return figures


def _cell(value: float | None, width: int) -> str:
    return "–".rjust(width) if value is None else f"{value:>{width}.3f}"


def rankings(features_ND: np.ndarray, given_NK: np.ndarray) -> tuple[LabelAudit, dict[str, np.ndarray]]:
    """The audit, and label qualities (N, K), smaller looked at sooner, by each method on the same features.

    The others take an unknown label for an absent one.
    """
    fold_N = stratified_folds(given_NK, FOLDS, np.random.default_rng(0))
    known_NK = (given_NK == 1).astype(int)
    logistic_NK = np.stack([logistic_scores(features_ND, column, fold_N) for column in known_NK.T], axis=1)
    audit = audit_labels(features_ND, given_NK)
    found = {
        "audit": audit.quality,
        "logistic regression": np.where(given_NK == 1, logistic_NK, 1 - logistic_NK),
    }
    if (score := _cleanlab()) is not None:
        for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
            columns = [
                score(labels, np.stack([1 - share, share], axis=1), method=method)
                for labels, share in zip(known_NK.T, logistic_NK.T, strict=True)
            ]
            found[f"cleanlab, {method.split('_')[0]}"] = np.stack(columns, axis=1)
    return audit, found


def _cleanlab() -> Callable[..., np.ndarray] | None:
    try:
        from cleanlab.rank import get_label_quality_scores  # type: ignore[import-not-found]
    except ImportError:
        print("cleanlab is not installed: its rows are left out")
        return None
    return get_label_quality_scores


def logistic_scores(
    features_ND: np.ndarray, given_N: np.ndarray, fold_N: np.ndarray, strength: float = 0.01
) -> np.ndarray:
    """P(given as present) of one class by scikit-learn's logistic regression, each row by the other folds."""
    share_N = np.zeros(len(given_N))
    for fold in range(FOLDS):
        out = fold_N == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=200))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            share_N[out] = model.fit(features_ND[~out], given_N[~out]).predict_proba(features_ND[out])[:, 1]
    return share_N


def pictures(images: int, features: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features as a frozen backbone gives them: classes along directions of their own, in correlated noise.

    Returns float32 (N, D), and given (mislabel 0.2) and true labels int8 (N, K), long-tailed.
    """
    rng = np.random.default_rng(seed)
    share_K = np.geomspace(0.3, 0.01, classes)
    true_NK = (rng.random((images, classes)) < share_K).astype(np.int8)
    true_NK[np.arange(images), rng.choice(classes, images, p=share_K / share_K.sum())] = 1
    scale_D = np.geomspace(4, 0.2, features)
    directions_KD = rng.standard_normal((classes, features)) * np.sqrt(scale_D)
    features_ND = np.empty((images, features), np.float32)
    for start in range(0, images, 4096):
        part = slice(start, min(start + 4096, images))
        noise = rng.standard_normal((part.stop - start, features)) * scale_D
        features_ND[part] = noise + 0.6 * true_NK[part] @ directions_KD
    return features_ND, inject(true_NK, "mislabel", 0.2, rng).astype(np.int8), true_NK


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("features", type=Path, metavar="FEATURES.npz")
    parser.add_argument(
        "--noises", nargs="+", default=("mislabel 0.1", "mislabel 0.2", "mislabel 0.4", "flip 0.2", "missing 0.3")
    )
    parser.add_argument("--rows", type=int, help="of each draw; without it all")
    parser.add_argument("--draws", type=int, default=1)
    arguments = parser.parse_args()
    with np.load(arguments.features, allow_pickle=False) as held:
        train = held["split"] == "train" if "split" in held else np.ones(len(held["X"]), bool)
        features = held["X"][train].astype(np.float32)
        given_NK, true_NK = (
            held[name][train].astype(np.int8) for name in (("given", "true") if "true" in held else ("Y", "Y"))
        )
    features_ND = features[:, 0] if features.ndim == 3 else features
    if given_NK is not true_NK and (given_NK != true_NK).any():
        print_head()
        compare_labels(features_ND, given_NK, true_NK, "as they came", 1)
        return
    for draw in range(arguments.draws):
        rng = np.random.default_rng(draw)
        rows = np.sort(rng.permutation(len(true_NK))[: arguments.rows])
        kept = (true_NK[rows] == 1).sum(axis=0) > 0
        print(f"draw {draw}: {len(rows)} rows, {kept.sum()} classes")
        compare(features_ND[rows], true_NK[rows][:, kept], arguments.noises, draw)


if __name__ == "__main__":
    main()
