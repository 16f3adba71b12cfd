"""Probabilities that mean what they say: a temperature fitted to held-out labels, and a threshold for each class.

Labels are int8 (N, K) of 0 and 1, with -1 for cells that are neither; these count nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, log_softmax, softmax

from bmix.evaluation.results import rounded
from bmix.models.calibration import UNFITTED, Calibration

BINS = 15
"""Of a reliability diagram, equally wide from 0 to 1 (Guo et al., On Calibration of Modern Neural Networks, 2017)."""
COLDEST, HOTTEST = 0.05, 20.0
"""The temperatures that are searched; logits that separate all labels want the coldest there is."""


@dataclass(frozen=True)
class SplitCalibration:
    """How well probabilities hold on one split, before the temperature and after it.

    nll: mean binary cross-entropy; of single-label images the mean cross-entropy. ece_K: expected calibration error per
    class, NaN for a class without a known cell. bins: a row per `state` (before, after) and bin with a cell, over all
    classes: `probability` (mean), `share` (of the cells that are present), `cells`.
    """

    nll: tuple[float, float]
    ece: tuple[float, float]
    ece_K: tuple[np.ndarray, np.ndarray]
    bins: pd.DataFrame


@dataclass(frozen=True)
class FittedCalibration:
    """What was fitted on `split`, and how it holds there and on further splits, the result's own first.

    aimed: the precision that thresholds were asked to reach, 0 for the best F1. thresholds: a row per class, see
    `tune_thresholds`.
    """

    split: str
    images: int
    temperature: float
    aimed: float
    thresholds: pd.DataFrame
    measured: dict[str, SplitCalibration]

    @property
    def calibration(self) -> Calibration:
        """What is stored with the model."""
        return Calibration(self.temperature, tuple(self.thresholds["threshold"].tolist()), self.split)


def fit_temperature(logits_NK: np.ndarray, labels_NK: np.ndarray, single_label: bool = False) -> float:
    """The T > 0 for which sigmoid(logit / T) has the least binary cross-entropy, one for all classes.

    single_label: softmax(logits / T) has the least cross-entropy instead, and every cell counts as known.
    The loss is convex in 1 / T, so that its slope, the mean of (sigmoid(logit / T) - label) * logit, has one root at
    most; that of softmax differs in nothing else. T is at least COLDEST and at most HOTTEST; 1 if no cell is known or
    all known logits are 0.
    """
    if single_label:
        return _root(lambda inverse: softmax(inverse * logits_NK.astype(np.float64), axis=1), logits_NK, labels_NK == 1)
    known_NK = labels_NK >= 0
    logits, labels = logits_NK[known_NK].astype(np.float64), labels_NK[known_NK].astype(np.float64)
    return _root(lambda inverse: expit(inverse * logits), logits, labels)


def _root(probability: Callable[[float], np.ndarray], logits: np.ndarray, labels: np.ndarray) -> float:
    """The T for which the slope of the loss is 0; arrays of one shape, probability: by 1 / T."""
    if not np.any(logits):
        return 1.0

    def slope(inverse: float) -> float:
        return float(np.mean((probability(inverse) - labels) * logits))

    if slope(1 / HOTTEST) >= 0:
        return HOTTEST
    if slope(1 / COLDEST) <= 0:
        return COLDEST
    return 1 / float(brentq(slope, 1 / HOTTEST, 1 / COLDEST, xtol=1e-12))


def calibrated(logits_NK: np.ndarray, temperature: float, single_label: bool = False) -> np.ndarray:
    """sigmoid(logit / temperature), or the softmax of each row, float64."""
    scaled_NK = np.asarray(logits_NK, np.float64) / temperature
    return softmax(scaled_NK, axis=1) if single_label else expit(scaled_NK)


def reliability(probabilities_NK: np.ndarray, labels_NK: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """A row per bin that holds a known cell: `probability` (mean), `share` of the cells that are present, `cells`."""
    known_NK = labels_NK >= 0
    probabilities, labels = probabilities_NK[known_NK].astype(np.float64), labels_NK[known_NK]
    places = np.minimum((probabilities * bins).astype(int), bins - 1)
    cells = np.bincount(places, minlength=bins)
    sums = [np.bincount(places, weights=values, minlength=bins) for values in (probabilities, labels)]
    held = cells > 0
    means = [total[held] / cells[held] for total in sums]
    return pd.DataFrame({"probability": means[0], "share": means[1], "cells": cells[held]})


def calibration_error(table: pd.DataFrame) -> float:
    """The expected calibration error of a table by `reliability`: mean of |probability - share| over the cells."""
    cells = table["cells"].sum()
    gaps = (table["probability"] - table["share"]).abs() * table["cells"]
    return float(gaps.sum() / cells) if cells else float("nan")


def tune_thresholds(probabilities_NK: np.ndarray, labels_NK: np.ndarray, precision: float = 0.0) -> pd.DataFrame:
    """For each class the threshold with the best F1, or with the most recall among those with the `precision` asked.

    A threshold lies halfway between two neighbouring probabilities; of equally good ones the highest is taken. Where
    none has the precision asked, the one with the highest precision is. UNFITTED for a class without a known positive.
    Columns: `threshold`, `positives` (known), and what it has here: `precision`, `recall`, `f1`; NaN if undefined.
    """
    rows = []
    for scores_N, labels_N in zip(probabilities_NK.T, labels_NK.T, strict=True):
        known = labels_N >= 0
        rows.append(_tune(scores_N[known].astype(np.float64), labels_N[known] == 1, precision))
    return pd.DataFrame(rows, columns=["threshold", "positives", "precision", "recall", "f1"])


def _tune(scores: np.ndarray, present: np.ndarray, asked: float) -> tuple[float, int, float, float, float]:
    positives = int(present.sum())
    if not positives:
        return UNFITTED, 0, float("nan"), float("nan"), float("nan")
    order = np.argsort(-scores, kind="stable")
    scores, found = scores[order], np.cumsum(present[order])
    # Only between different scores is there a threshold; the last lies below them all.
    cuts = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    precision, recall = found[cuts] / (cuts + 1), found[cuts] / positives
    f1 = 2 * found[cuts] / (cuts + 1 + positives)
    if asked:
        enough = precision >= asked
        best = int(np.argmax(np.where(enough, recall, -1.0) if enough.any() else precision))
    else:
        best = int(np.argmax(f1))
    below = scores[cuts[best] + 1] if cuts[best] + 1 < len(scores) else 0.0
    threshold = (scores[cuts[best]] + below) / 2
    return float(threshold), positives, float(precision[best]), float(recall[best]), float(f1[best])


def measure_split(
    logits_NK: np.ndarray, labels_NK: np.ndarray, temperature: float, single_label: bool = False
) -> SplitCalibration:
    """How well the probabilities of one split hold, before the temperature and after it."""
    nll, ece, by_class, bins = [], [], [], []
    known_NK = labels_NK >= 0
    signed = np.where(labels_NK == 1, logits_NK, -logits_NK.astype(np.float64))[known_NK]
    for state, applied in (("before", 1.0), ("after", temperature)):
        probabilities_NK = calibrated(logits_NK, applied, single_label)
        table = reliability(probabilities_NK, labels_NK)
        columns = range(labels_NK.shape[1])
        single = [reliability(probabilities_NK[:, [k]], labels_NK[:, [k]]) for k in columns]
        if single_label:
            losses = -log_softmax(logits_NK.astype(np.float64) / applied, axis=1)[labels_NK == 1]
        else:
            losses = np.logaddexp(0, -signed / applied)
        nll.append(float(losses.mean()) if len(losses) else float("nan"))
        ece.append(calibration_error(table))
        by_class.append(np.array([calibration_error(own) for own in single]))
        bins.append(table.assign(state=state))
    before_after = pd.concat(bins, ignore_index=True)[["state", "probability", "share", "cells"]]
    return SplitCalibration((nll[0], nll[1]), (ece[0], ece[1]), (by_class[0], by_class[1]), before_after)


def fit_calibration(
    held_out: tuple[np.ndarray, np.ndarray],
    further: dict[str, tuple[np.ndarray, np.ndarray]],
    precision: float = 0.0,
    split: str = "val",
    single_label: bool = False,
) -> FittedCalibration:
    """Fit temperature and thresholds to the logits and labels of `held_out`, and measure both there and on `further`.

    further: logits (N, K) and labels by split. precision: as of `tune_thresholds`. single_label: every row has exactly
    one 1, and probabilities are a softmax.
    """
    logits_NK, labels_NK = held_out
    temperature = fit_temperature(logits_NK, labels_NK, single_label)
    thresholds = tune_thresholds(calibrated(logits_NK, temperature, single_label), labels_NK, precision)
    measured = {
        name: measure_split(*given, temperature, single_label) for name, given in {**further, split: held_out}.items()
    }
    return FittedCalibration(split, len(logits_NK), temperature, precision, thresholds, measured)


def content(fitted: FittedCalibration | None, classes: list[str], weights: str) -> dict[str, Any]:
    """The content of calibration.json. weights: the digest of the weights that it belongs to.

    Where nothing could be fitted, the temperature is 1, every threshold UNFITTED and the split null.
    """
    if fitted is None:
        unfitted: dict[str, Any] = {name: {"threshold": UNFITTED} for name in classes}
        return {"weights": weights, "split": None, "temperature": 1.0, "classes": unfitted}
    own = fitted.measured[fitted.split]
    rows = fitted.thresholds.to_dict("records")
    return {
        "weights": weights,
        "split": fitted.split,
        "images": fitted.images,
        "temperature": fitted.temperature,
        "thresholds": f"precision {fitted.aimed:g}" if fitted.aimed else "best F1",
        "measured": {
            name: {
                key: {"before": rounded(before), "after": rounded(after)}
                for key, (before, after) in (("nll", measured.nll), ("ece", measured.ece))
            }
            for name, measured in fitted.measured.items()
        },
        "classes": {
            name: {
                "threshold": float(row["threshold"]),
                "positives": int(row["positives"]),
                **{key: rounded(row[key]) for key in ("precision", "recall", "f1")},
                "ece": {"before": rounded(own.ece_K[0][k]), "after": rounded(own.ece_K[1][k])},
            }
            for k, (name, row) in enumerate(zip(classes, rows, strict=True))
        },
    }
