"""What an order of labels is worth to somebody who looks at them from the top: measured, or estimated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bmix.audit.measure import LOOKED_AT
from bmix.evaluation.looking import NINE_TENTHS, Curve, cannot_tell, expected_worth, found_curve, shifted
from bmix.labels.scored import AUDIT, Scored

__all__ = [
    "NINE_TENTHS",
    "Curve",
    "estimated_worth",
    "found_curve",
    "is_wrong",
    "measured_worth",
    "shifted",
    "warnings",
]


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
    """Where the truth is unknown: what the audit expects, as the table of `Worth` has it.

    Empty if the network judged: the mixtures of its losses find two parts in right labels too.
    """
    if scored.judged_by != AUDIT:
        return pd.DataFrame()
    by_class = dict(iter(scored.frame.groupby(["class", "given"], sort=False)))

    def labels_of(name: str, given: int) -> tuple[np.ndarray, np.ndarray]:
        own = by_class.get((name, given), scored.frame.iloc[:0])
        return own["p_wrong"].to_numpy(np.float64), own["quality"].to_numpy(np.float64)

    return expected_worth(scored.classes, labels_of).table


def warnings(scored: Scored, learnt_by_heart: str = "") -> list[str]:
    """Where the order should not be trusted, one sentence each.

    learnt_by_heart: what `bmix.evaluation.cautions` says of the run's training, empty if nothing.
    """
    found = [cannot_tell(scored.classes)]
    if scored.judged_by != AUDIT:
        found.append(
            "The labels are judged by the network that was trained on them. For one's own data the audit is the better "
            "judge: audit.weights, docs/audit.md."
        )
        found.append(learnt_by_heart)
    return [sentence for sentence in found if sentence]
