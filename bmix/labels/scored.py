"""Every given label of a split with what judged it: the audit where there is one, else the trained network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bmix.data.quality import QUALITY_FILE, read_quality
from bmix.labels.by_network import network_scores
from bmix.labels.run import LabelledRun

AUDIT, NETWORK = "audit", "network"
COLUMNS = ["row", "id", "class", "given", "evidence", "p_wrong", "quality"]


@dataclass(frozen=True)
class Scored:
    """The given labels of one split that can be doubted.

    frame: COLUMNS, in the order of images, then classes: `row` of the split, `given` 1 or 0, `evidence` (by the audit:
    the score, near the share of images like this one that are given the class; by the network: the loss of the label),
    `p_wrong` in [0, 1], NaN if unknown, and `quality`, log-odds that the given value is right: the smaller, the sooner
    it is to be looked at. Ignored and reviewed labels are left out. judged_by: AUDIT or NETWORK.
    classes: what is known per class, by name: of the audit the rows of noise_estimate.json, of the network `mean_0`.
    """

    split: str
    judged_by: str
    frame: pd.DataFrame
    classes: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def can_tell(self, class_name: str) -> bool:
        """Whether what judged can tell this class's right labels from wrong ones."""
        return bool(self.classes.get(class_name, {}).get("judged", True))


def read_scored(run: LabelledRun, split: str = "train") -> Scored:
    """The scores of one split: from the stage audit, or, where nothing was audited, from the trained network.

    InputError for a split without labels, and where neither an audit nor a trained network is there.
    """
    given_NK = run.given(split)
    if (audited := _audited(run, split, given_NK)) is not None:
        return audited
    losses_NK, p_wrong_NK, quality_NK, classes = network_scores(run, split, given_NK)
    doubtable_NK = given_NK >= 0
    if (reviewed_NK := run.manifest.reviewed_if_any(split)) is not None:
        doubtable_NK &= ~reviewed_NK
    frame = _frame(run, split, doubtable_NK, given_NK, losses_NK, p_wrong_NK, quality_NK)
    return Scored(split, NETWORK, frame, classes)


def _audited(run: LabelledRun, split: str, given_NK: np.ndarray) -> Scored | None:
    """What the stage audit wrote of a split; None if it judged nothing."""
    folder = run.folder / "data/audit"
    quality = read_quality(folder, split, given_NK) if (folder / QUALITY_FILE).is_file() else None
    if quality is None:
        return None
    frame = _frame(run, split, quality.doubtable(), given_NK, quality.score_NK, quality.p_wrong(), quality.quality_NK)
    return Scored(split, AUDIT, frame, quality.classes)


def _frame(
    run: LabelledRun,
    split: str,
    doubtable_NK: np.ndarray,
    given_NK: np.ndarray,
    evidence_NK: np.ndarray,
    p_wrong_NK: np.ndarray,
    quality_NK: np.ndarray,
) -> pd.DataFrame:
    """COLUMNS of the labels that can be doubted."""
    rows, columns = np.nonzero(doubtable_NK)
    return pd.DataFrame(
        {
            "row": rows,
            "id": np.asarray(run.manifest.ids(split), dtype=object)[rows],
            "class": np.asarray(run.classes, dtype=object)[columns],
            "given": given_NK[rows, columns],
            "evidence": evidence_NK[rows, columns],
            "p_wrong": p_wrong_NK[rows, columns],
            "quality": quality_NK[rows, columns],
        }
    )
