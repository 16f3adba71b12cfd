"""The labels to look at, in their order: that of the audit, or of the verdicts where nothing was audited."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bmix.data.quality import LabelQuality
from bmix.evaluation.looking import CURVE_POINTS, Curve, found_curve
from bmix.evaluation.verdicts import LabelVerdicts

AUDIT, VERDICTS = "audit", "verdicts"
COLUMNS = ["row", "id", "class", "given", "others", "suggested", "instead", "log_odds", "true"]


@dataclass(frozen=True)
class Doubts:
    """What is known of every training label, (N, K) each, rows and columns as in the run's `LabelVerdicts`.

    judged_by: AUDIT or VERDICTS. log_odds: that the given value is right, the smaller, the sooner to be looked at; NaN
    where nothing is known. doubted: bool, the labels to list. suggested: bool, the value that is likelier.
    """

    judged_by: str
    log_odds_NK: np.ndarray
    doubted_NK: np.ndarray
    suggested_NK: np.ndarray


def doubts_of_verdicts(labels: LabelVerdicts) -> Doubts:
    """Of the given positives those called wrong, of the given negatives those re-labelled to present."""
    doubted_NK = np.where(labels.given_NK, labels.called_wrong, labels.refined_NK)
    if labels.ignored_NK is not None:
        doubted_NK &= ~labels.ignored_NK
    return Doubts(VERDICTS, labels.log_odds_NK, doubted_NK, labels.refined_NK)


def doubts_of_audit(quality: LabelQuality) -> Doubts:
    """The audit's word: doubted are the labels whose value is likelier wrong than right."""
    suggested_NK = quality.p_present_NK > 0.5
    doubted_NK = (suggested_NK != (quality.given_NK == 1)) & quality.doubtable()
    return Doubts(AUDIT, quality.quality_NK, doubted_NK, suggested_NK)


def doubted_labels(
    labels: LabelVerdicts, doubts: Doubts, given: int, limit: int, true_NK: np.ndarray | None = None
) -> pd.DataFrame:
    """The doubted labels of one given value, the least likely first, at most `limit`, with COLUMNS.

    row: of the training set. others: the further given labels of the image. suggested: 0 or 1. instead: of a given
    positive, the class that the image is likeliest to lack; empty if none is. log_odds: that the given value is right.
    true: 0 or 1; <NA> where the truth is unknown. Equal ones stay in the order of images and classes.
    """
    rows, columns = np.nonzero(doubts.doubted_NK & (labels.given_NK == bool(given)))
    order = np.argsort(doubts.log_odds_NK[rows, columns], kind="stable")[:limit]
    rows, columns = rows[order], columns[order]
    true = [pd.NA] * len(rows) if true_NK is None else np.asarray(true_NK).astype(int)[rows, columns]
    return pd.DataFrame(
        {
            "row": rows,
            "id": [labels.ids[row] for row in rows],
            "class": [labels.classes[column] for column in columns],
            "given": np.full(len(rows), given),
            "others": [
                [labels.classes[k] for k in np.flatnonzero(labels.given_NK[row]) if k != column]
                for row, column in zip(rows, columns, strict=True)
            ],
            "suggested": doubts.suggested_NK[rows, columns].astype(int),
            "instead": [_lacking(labels, doubts, int(row)) if given else "" for row in rows],
            "log_odds": doubts.log_odds_NK[rows, columns],
            "true": pd.array(true, dtype="Int64"),
        },
        columns=COLUMNS,
    )


def _lacking(labels: LabelVerdicts, doubts: Doubts, row: int) -> str:
    """The class that seems to be missing in an image, the surest of several; empty if none does."""
    lacking = np.flatnonzero(doubts.doubted_NK[row] & doubts.suggested_NK[row] & ~labels.given_NK[row])
    return labels.classes[lacking[np.argmin(doubts.log_odds_NK[row, lacking])]] if len(lacking) else ""


def found_by_looking(labels: LabelVerdicts, doubts: Doubts, true_NK: np.ndarray, points: int = CURVE_POINTS) -> Curve:
    """Wrong labels found among the first looked at of all that are ranked; `points` steps at most."""
    ranked_NK = ~np.isnan(doubts.log_odds_NK)
    if labels.ignored_NK is not None:
        ranked_NK &= ~labels.ignored_NK
    wrong_NK = np.asarray(true_NK).astype(bool) != labels.given_NK
    return found_curve(doubts.log_odds_NK[ranked_NK], wrong_NK[ranked_NK], points)
