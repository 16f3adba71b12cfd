"""What it is worth to look at labels in their order: how many wrong ones are found, measured or expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from bmix.data.quality import LabelQuality
from bmix.support.errors import quoted

NINE_TENTHS = 0.9
CURVE_POINTS = 200
_SURE = 1e-12
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


def expected_worth(classes: Mapping[str, dict[str, Any]], labels_of: LabelsOf) -> pd.DataFrame:
    """Per class, of the given positives and of the given negatives, how many are wrong, as the audit expects.

    classes: the rows of noise_estimate.json by class. Columns: `class`, `given` (1: wrong ones, 0: missing ones),
    `labels`, `wrong` with `wrong_low` and `wrong_high` (how many, 95 %), `looks` (how many from the top to find nine
    tenths of them), likewise with `_low` and `_high`, and `judged`. Looks are of the labels of that class and given
    value; NaN where the class cannot be judged.
    """
    rows = []
    for name, estimate in classes.items():
        for given, share in ((1, "wrong_share"), (0, "missing_share")):
            p_wrong_M, quality_M = labels_of(name, given)
            count, judged = len(quality_M), bool(estimate["judged"])
            row: dict[str, Any] = {"class": name, "given": given, "labels": count, "judged": judged}
            for end in ("", "_low", "_high"):
                value = float(estimate[f"{share}{end}"] or 0)
                row[f"wrong{end}"] = value * count
                row[f"looks{end}"] = _looks(p_wrong_M, quality_M, value) if judged and count else float("nan")
            rows.append(row)
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Worth:
    """What the audit expects of one split's labels.

    table: `expected_worth`. looks: of all classes that can be judged, by given value, how many from the top to find
    nine tenths of the wrong ones, with both ends of the interval. warning: `cannot_tell`.
    """

    table: pd.DataFrame
    looks: dict[int, tuple[float, float, float]]
    warning: str


def worth_of_audit(quality: LabelQuality) -> Worth:
    """What looking at the labels of one audited split is worth."""
    column_of = {name: column for column, name in enumerate(quality.classes)}
    doubtable_NK, p_wrong_NK = quality.doubtable(), quality.p_wrong()

    def labels_of(name: str, given: int) -> tuple[np.ndarray, np.ndarray]:
        k = column_of[name]
        rows = doubtable_NK[:, k] & (quality.given_NK[:, k] == given)
        return p_wrong_NK[rows, k], quality.quality_NK[rows, k]

    looks = {given: looks_overall(quality.classes, labels_of, given) for given in (1, 0)}
    return Worth(expected_worth(quality.classes, labels_of), looks, cannot_tell(quality.classes))


def looks_overall(classes: Mapping[str, dict[str, Any]], labels_of: LabelsOf, given: int) -> tuple[float, float, float]:
    """How many labels of one given value to look at, in one order of all classes that can be judged, for nine tenths of
    the wrong ones: as estimated, and by the low and the high end of the classes' intervals."""
    judged = [name for name, estimate in classes.items() if estimate["judged"]]
    own = {name: labels_of(name, given) for name in judged}
    quality_M = np.concatenate([np.zeros(0), *(quality for _, quality in own.values())])
    found = []
    for end in ("", "_low", "_high"):
        key = f"{'wrong' if given else 'missing'}_share{end}"
        parts = [shifted(p_wrong, float(classes[name][key] or 0)) for name, (p_wrong, _) in own.items()]
        found.append(_looks_in(quality_M, np.concatenate([np.zeros(0), *parts])))
    return found[0], found[1], found[2]


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
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(log_odds_M + middle).mean() < mean else (low, middle)
    return expit(log_odds_M + (low + high) / 2)


def _looks(p_wrong_M: np.ndarray, quality_M: np.ndarray, share: float) -> float:
    """How many labels from the top hold nine tenths of the wrong ones, if a share of all is wrong."""
    return _looks_in(quality_M, shifted(p_wrong_M, share))


def _looks_in(quality_M: np.ndarray, p_wrong_M: np.ndarray) -> float:
    curve = found_curve(quality_M, p_wrong_M, points=len(quality_M))
    return float(curve.looks_for(NINE_TENTHS)) if curve.found[-1] > _SURE else 0.0
