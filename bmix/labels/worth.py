"""What an order of labels is worth to somebody who looks at them from the top: measured, or estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from bmix.audit.measure import LOOKED_AT
from bmix.labels.scored import Scored

NINE_TENTHS = 0.9
_CURVE_POINTS = 200
_SURE = 1e-12


@dataclass(frozen=True)
class Curve:
    """How many wrong labels are found among the first so many looked at; whole numbers (P,), from 0 on."""

    looked_at: np.ndarray
    found: np.ndarray

    def looks_for(self, share: float) -> int:
        """How many of the points' labels to look at for a share of all wrong ones."""
        return int(self.looked_at[np.searchsorted(self.found, share * self.found[-1])])


def found_curve(quality_M: np.ndarray, wrong_M: np.ndarray, points: int = _CURVE_POINTS) -> Curve:
    """Wrong labels found against labels looked at, in ascending quality; at most `points` steps, evenly spread.

    quality_M: equal ones in their order. wrong_M: bool, or P(wrong), of which the sums are then expected numbers.
    """
    found = np.concatenate([[0.0], np.cumsum(wrong_M[np.argsort(quality_M, kind="stable")], dtype=np.float64)])
    looked_at = np.unique(np.linspace(0, len(wrong_M), points + 1).astype(np.int64))
    return Curve(looked_at, found[looked_at])


def measured_worth(scored: Scored, true_NK: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """Where the truth is known: precision among the first LOOKED_AT, the share that is wrong, and the curve.

    true_NK: 1 and 0. Keys `labels`, `wrong`, `precision` (by how many looked at; None where there are fewer), `curve`.
    """
    wrong_M = is_wrong(scored, true_NK, classes)
    order = np.argsort(scored.frame["quality"].to_numpy(), kind="stable")
    precision = {count: float(wrong_M[order[:count]].mean()) if count <= len(wrong_M) else None for count in LOOKED_AT}
    curve = found_curve(scored.frame["quality"].to_numpy(), wrong_M)
    return {"labels": len(wrong_M), "wrong": int(wrong_M.sum()), "precision": precision, "curve": curve}


def is_wrong(scored: Scored, true_NK: np.ndarray, classes: list[str]) -> np.ndarray:
    """Whether each label of `scored.frame` is wrong, bool (M,)."""
    columns = pd.Index(classes).get_indexer(pd.Index(scored.frame["class"]))
    return true_NK[scored.frame["row"].to_numpy(), columns] != scored.frame["given"].to_numpy()


def estimated_worth(scored: Scored) -> pd.DataFrame:
    """Where the truth is unknown: per class, of the given positives and of the given negatives, what the audit expects.

    Columns: `class`, `given` (1: wrong ones, 0: missing ones), `labels`, `wrong` with `wrong_low` and `wrong_high` (how
    many, 95 %), `looks` (how many from the top to find nine tenths of them), likewise with `_low` and `_high`, and
    `judged`. Looks are of the labels of that class and given value; NaN where the class cannot be judged. Empty if
    the network judged: the mixtures of its losses find two parts in right labels too.
    """
    rows = []
    by_class = dict(iter(scored.frame.groupby(["class", "given"], sort=False)))
    for name, estimate in scored.classes.items():
        if "judged" not in estimate:
            continue
        for given, share in ((1, "wrong_share"), (0, "missing_share")):
            own = by_class.get((name, given), scored.frame.iloc[:0])
            count = len(own)
            ends = {end: float(estimate[f"{share}{end}"] or 0) for end in ("", "_low", "_high")}
            row: dict[str, Any] = {"class": name, "given": given, "labels": count, "judged": bool(estimate["judged"])}
            for end, value in ends.items():
                row[f"wrong{end}"] = value * count
                row[f"looks{end}"] = _looks(own, value) if row["judged"] and count else float("nan")
            rows.append(row)
    return pd.DataFrame(rows)


def _looks(own: pd.DataFrame, share: float) -> float:
    """How many labels from the top hold nine tenths of the wrong ones, if a share of all is wrong."""
    p_wrong_M = shifted(own["p_wrong"].to_numpy(np.float64), share)
    curve = found_curve(own["quality"].to_numpy(), p_wrong_M, points=len(own))
    return float(curve.looks_for(NINE_TENTHS)) if curve.found[-1] > _SURE else 0.0


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


def warnings(scored: Scored, learnt_by_heart: str = "") -> list[str]:
    """Where the order should not be trusted, one sentence each.

    learnt_by_heart: what `bmix.evaluation.cautions` says of the run's training, empty if nothing.
    """
    from bmix.support.errors import quoted

    found = []
    dark = [name for name, estimate in scored.classes.items() if estimate.get("judged") is False]
    if dark:
        found.append(
            f"{len(dark)} of {len(scored.classes)} classes cannot be told apart by these features, or have too few "
            f"labels; their labels are ordered, but how many are wrong is not known: {quoted(dark)}"
        )
    if scored.judged_by != "audit":
        found.append(
            "The labels are judged by the network that was trained on them. For one's own data the audit is the better "
            "judge: audit.weights, docs/audit.md."
        )
        if learnt_by_heart:
            found.append(learnt_by_heart)
    return found
