"""What it is worth to look at labels in their order: how many wrong ones are found, measured or expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit

from bmix.data.quality import LabelQuality
from bmix.support.errors import quoted

NINE_TENTHS = 0.9
CURVE_POINTS = 200
ENDS = ("", "_low", "_high")
"""Of an estimate and of the ends of its interval."""
_SURE = 1e-12
_FARTHEST = 60.0
"""Log-odds that no shift goes beyond."""
LabelsOf = Callable[[str, int], tuple[np.ndarray, np.ndarray]]
"""(class, given value) -> P(wrong) and quality of its labels that can be doubted, (M,) each."""


@dataclass(frozen=True)
class Curve:
    """How many wrong labels are found among the first so many looked at; whole numbers (P,), from 0 on."""

    looked_at: np.ndarray
    found: np.ndarray

    def looks_for(self, share: float) -> int:
        """How many of the points' labels to look at for a share of all wrong ones."""
        return int(self.looked_at[np.searchsorted(self.found, share * self.found[-1])])


def found_curve(quality_M: np.ndarray, wrong_M: np.ndarray, points: int = CURVE_POINTS) -> Curve:
    """Wrong labels found against labels looked at, in ascending quality; at most `points` steps, evenly spread.

    quality_M: equal ones in their order. wrong_M: bool, or P(wrong), of which the sums are then expected numbers.
    """
    kind = np.int64 if wrong_M.dtype == bool else np.float64
    found = np.cumsum(np.append(kind(0), wrong_M[np.argsort(quality_M, kind="stable")].astype(kind)))
    looked_at = np.unique(np.linspace(0, len(wrong_M), points + 1).round().astype(np.int64))
    return Curve(looked_at, found[looked_at])


@dataclass(frozen=True)
class Worth:
    """What the audit expects of one split's labels.

    table: per class, of the given positives and of the given negatives: `class`, `given` (1: wrong ones, 0: missing
    ones), `labels`, `wrong` with `wrong_low` and `wrong_high` (how many, 95 %), `looks` (how many labels of that class
    and given value to look at from the top for nine tenths of them) likewise, NaN of a class that cannot be judged, and
    `judged`. looks: the same in one order of all classes that can be judged, by given value, with both ends. warning:
    `cannot_tell`.
    """

    table: pd.DataFrame
    looks: dict[int, tuple[float, ...]]
    warning: str


def expected_worth(classes: Mapping[str, dict[str, Any]], labels_of: LabelsOf) -> Worth:
    """How many labels are wrong and how many to look at. classes: the rows of noise_estimate.json by class."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    looks: dict[int, tuple[float, ...]] = {}
    for given, share in ((1, "wrong_share"), (0, "missing_share")):
        qualities: list[np.ndarray] = []
        expected: list[list[np.ndarray]] = []
        for name, estimate in classes.items():
            p_wrong_M, quality_M = labels_of(name, given)
            shares = [float(estimate[f"{share}{end}"] or 0) for end in ENDS]
            looks_of = [float("nan")] * len(ENDS)
            if judged := bool(estimate["judged"]):
                expected.append([shifted(p_wrong_M, value) for value in shares])
                qualities.append(quality_M)
                looks_of = _looks(quality_M, expected[-1]) if len(quality_M) else looks_of
            rows[name, given] = {"class": name, "given": given, "labels": len(quality_M), "judged": judged}
            for end, value, count in zip(ENDS, shares, looks_of, strict=True):
                rows[name, given] |= {f"wrong{end}": value * len(quality_M), f"looks{end}": count}
        looks[given] = (0.0,) * len(ENDS)
        if qualities:
            ends = [np.concatenate(parts) for parts in zip(*expected, strict=True)]
            looks[given] = tuple(_looks(np.concatenate(qualities), ends))
    table = pd.DataFrame([rows[name, given] for name in classes for given in (1, 0)])
    return Worth(table, looks, cannot_tell(classes))


def worth_of_audit(quality: LabelQuality) -> Worth:
    """What looking at the labels of one audited split is worth."""
    column_of = {name: column for column, name in enumerate(quality.classes)}
    doubtable_NK, p_wrong_NK = quality.doubtable(), quality.p_wrong()

    def labels_of(name: str, given: int) -> tuple[np.ndarray, np.ndarray]:
        k = column_of[name]
        rows = doubtable_NK[:, k] & (quality.given_NK[:, k] == given)
        return p_wrong_NK[rows, k], quality.quality_NK[rows, k]

    return expected_worth(quality.classes, labels_of)


def cannot_tell(classes: Mapping[str, dict[str, Any]]) -> str:
    """Of which classes the order should not be trusted, as a sentence; empty if of none."""
    dark = [name for name, estimate in classes.items() if estimate.get("judged") is False]
    if not dark:
        return ""
    return (
        f"{len(dark)} of {len(classes)} classes cannot be told apart by these features, or have too few "
        f"labels; their labels are ordered, but how many are wrong is not known: {quoted(dark)}"
    )


def shifted(probability_M: np.ndarray, mean: float) -> np.ndarray:
    """Probabilities whose log-odds are all moved by as much as gives them this mean; of a mean of 0 or 1, that."""
    if not _SURE < mean < 1 - _SURE:
        return np.full(len(probability_M), float(mean >= 0.5))
    log_odds_M = logit(np.clip(probability_M, _SURE, 1 - _SURE))
    return expit(log_odds_M + brentq(lambda shift: expit(log_odds_M + shift).mean() - mean, -_FARTHEST, _FARTHEST))


def _looks(quality_M: np.ndarray, expected: Sequence[np.ndarray]) -> list[float]:
    """How many labels from the top hold nine tenths of the wrong ones, for each P(wrong) of all that is expected."""
    order = np.argsort(quality_M, kind="stable")
    looks = []
    for p_wrong_M in expected:
        found = np.cumsum(np.append(0.0, p_wrong_M[order]))
        looks.append(float(np.searchsorted(found, NINE_TENTHS * found[-1])) if found[-1] > _SURE else 0.0)
    return looks
