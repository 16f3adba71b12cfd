"""What out-of-fold scores say of given labels: how likely each is present, and in what order to look."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bmix.audit.logistic import ScoreCounts, evidence, fit_given, fit_present, sigmoid
from bmix.audit.shares import Shares, wrong_negatives, wrong_positives

ENOUGH = 0.85
"""The least `separation` of a class that can be judged."""
SIGNIFICANT = 3.0
"""How many standard errors above one half the area of the given labels of a class that can be judged lies."""
FEWEST = 5
"""Given positives, and negatives, that a class needs to be judged."""
_SMALLEST = 1e-6


@dataclass(frozen=True)
class Lines:
    """What turns a score into log-odds: (score - mean) · scale, (K,) each, then slope and intercept, (K, 2) each.

    given_K2: of P(given as present | score). present_K2: of P(truly present | score).
    """

    mean_K: np.ndarray
    scale_K: np.ndarray
    given_K2: np.ndarray
    present_K2: np.ndarray

    @classmethod
    def fit(cls, scores_NK: np.ndarray, given_NK: np.ndarray, false_K: np.ndarray, lost_K: np.ndarray) -> Lines:
        """From out-of-fold scores, given labels and the flip rates of each class."""
        counts = ScoreCounts.of(scores_NK, given_NK)
        return cls(counts.mean_K, counts.scale_K, fit_given(counts), fit_present(counts, false_K, lost_K))

    def logits(self, scores_NK: np.ndarray, line_K2: np.ndarray) -> np.ndarray:
        """Log-odds, float64 (N, K)."""
        return (scores_NK - self.mean_K) * self.scale_K * line_K2[:, 0] + line_K2[:, 1]


@dataclass(frozen=True)
class LabelAudit:
    """What an audit says of N rows and K classes.

    scores: float32 (N, K), out of fold, near the share of given positives among rows like this one. p_present: float64
    (N, K) in [0, 1], P(truly present | score, given); of a class that cannot be judged, the given value. quality:
    float64 (N, K), log-odds that a row of this score is given this value; the smaller, the sooner to be looked at.
    Nothing saturates; NaN where nothing is given. classes: a row per class with `class`, `positives`, `negatives`,
    `auc`, `wrong_share` of the given positives and `missing_share` of the given negatives, each with `_low` and
    `_high` (95 %), `separation` (see `true_auc`), and `judged`. lines: how scores became log-odds.
    """

    scores: np.ndarray
    p_present: np.ndarray
    quality: np.ndarray
    classes: pd.DataFrame
    lines: Lines


def judge(
    scores_NK: np.ndarray, given_NK: np.ndarray, auc_K: np.ndarray, class_names: list[str], lines: Lines | None = None
) -> LabelAudit:
    """What scores say of given labels of 1, 0, and -1 for unknown, by models that saw none of them.

    lines: those of the training rows, where these rows are others scored by the same models; their own shares of wrong
    labels are estimated all the same. None: they are fitted.
    """
    positives, negatives = wrong_positives(scores_NK, given_NK), wrong_negatives(scores_NK, given_NK)
    number_K2 = np.stack([(given_NK == value).sum(axis=0) for value in (0, 1)], axis=1)
    wrong_K, missing_K = _apart(positives.wrong_K, negatives.wrong_K)
    separation_K = true_auc(auc_K, wrong_K, missing_K)
    # The area that labels without any bearing on the features have varies by 1/√(12 n) about one half.
    beyond_chance_K = auc_K - 0.5 > SIGNIFICANT / np.sqrt(12 * np.maximum(number_K2.min(axis=1), 1))
    judged_K = (separation_K >= ENOUGH) & beyond_chance_K & (number_K2.min(axis=1) >= FEWEST)
    false_K, lost_K = flip_rates(wrong_K, missing_K, number_K2)
    lines = lines or Lines.fit(scores_NK, given_NK, false_K, lost_K)
    logits_NK = lines.logits(scores_NK, lines.present_K2)
    p_present_NK = _present(logits_NK, given_NK, evidence(false_K, lost_K), wrong_K, missing_K)
    p_present_NK = np.where(~judged_K & (given_NK >= 0), given_NK, p_present_NK)
    typical_NK = lines.logits(scores_NK, lines.given_K2)
    quality_NK = np.where(given_NK < 0, np.nan, np.where(given_NK == 1, typical_NK, -typical_NK))
    table = _table(class_names, number_K2, auc_K, (wrong_K, positives), (missing_K, negatives), separation_K, judged_K)
    return LabelAudit(scores_NK, p_present_NK, quality_NK, table, lines)


def trusting(audit: LabelAudit, given_NK: np.ndarray, reviewed_NK: np.ndarray | None) -> LabelAudit:
    """The same, but what people looked at, bool (N, K), is right as it is given, and has no `quality`."""
    if reviewed_NK is None:
        return audit
    p_present_NK = np.where(reviewed_NK & (given_NK >= 0), given_NK, audit.p_present)
    return replace(audit, p_present=p_present_NK, quality=np.where(reviewed_NK, np.nan, audit.quality))


def flip_rates(wrong_K: np.ndarray, missing_K: np.ndarray, number_K2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P(given 1 | truly absent) and P(given 0 | truly present) of each class, from its shares of wrong labels.

    number_K2: the given negatives and positives.
    """
    negatives_K, positives_K = number_K2.T
    false_K, lost_K = positives_K * wrong_K, negatives_K * missing_K
    present_K = positives_K - false_K + lost_K
    absent_K = negatives_K - lost_K + false_K
    rates = (false_K / np.maximum(absent_K, 1), lost_K / np.maximum(present_K, 1))
    return tuple(np.clip(rate_K, _SMALLEST, 1 - _SMALLEST) for rate_K in rates)


def true_auc(auc_K: np.ndarray, wrong_K: np.ndarray, missing_K: np.ndarray) -> np.ndarray:
    """The area under the curve of the true labels that a class's area of the given ones amounts to, at most 1; NaN as
    there.

    Wrong labels draw the area to one half by 1 - wrong - missing (Menon, van Rooyen, Ong, Williamson 2015).
    """
    return np.minimum(0.5 + (auc_K - 0.5) / np.maximum(1 - wrong_K - missing_K, _SMALLEST), 1)


def _apart(wrong_K: np.ndarray, missing_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shares, each measured against a side that holds wrong labels itself, told apart (Scott et al. 2013)."""
    rest_K = 1 - wrong_K * missing_K
    return wrong_K * (1 - missing_K) / rest_K, missing_K * (1 - wrong_K) / rest_K


def _present(
    logit_NK: np.ndarray, given_NK: np.ndarray, evidence_K2: np.ndarray, wrong_K: np.ndarray, missing_K: np.ndarray
) -> np.ndarray:
    """P(present | score, given), shifted so that the mean over a class's given labels is the share that is right."""
    present_NK = sigmoid(logit_NK)
    for k in range(given_NK.shape[1]):
        for value, share in ((0, missing_K[k]), (1, 1 - wrong_K[k])):
            rows = given_NK[:, k] == value
            if rows.any():
                logits = logit_NK[rows, k] + evidence_K2[k, value]
                present_NK[rows, k] = sigmoid(logits + _shift(logits, float(np.clip(share, _SMALLEST, 1 - _SMALLEST))))
    return present_NK


def _shift(logits: np.ndarray, mean: float) -> float:
    """What to add to the log-odds so that the probabilities have this mean."""
    low, high = -50.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(logits + middle).mean() < mean else (low, middle)
    return middle


def _table(
    names: list[str],
    number_K2: np.ndarray,
    auc_K: np.ndarray,
    wrong: tuple[np.ndarray, Shares],
    missing: tuple[np.ndarray, Shares],
    separation_K: np.ndarray,
    judged_K: np.ndarray,
) -> pd.DataFrame:
    columns: dict[str, Any] = {"class": names, "positives": number_K2[:, 1], "negatives": number_K2[:, 0], "auc": auc_K}
    for name, (share_K, shares) in (("wrong_share", wrong), ("missing_share", missing)):
        # An interval moves with its estimate.
        moved_K = share_K / np.maximum(shares.wrong_K, _SMALLEST)
        low_K, high_K = shares.low_K * moved_K, np.minimum(shares.high_K * moved_K, 1)
        columns |= {name: share_K, f"{name}_low": low_K, f"{name}_high": high_K}
    return pd.DataFrame(columns | {"separation": separation_K, "judged": judged_K})
