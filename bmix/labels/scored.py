"""Every given label of a split with what judged it: the audit where there is one, else the trained network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bmix.audit.files import ESTIMATE_FILE, QUALITY_FILE
from bmix.labels.by_network import network_scores
from bmix.labels.run import LabelledRun
from bmix.support.errors import InputError
from bmix.support.files import read_json

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
    rows, columns = np.nonzero(doubtable_NK)
    frame = pd.DataFrame(
        {
            "row": rows,
            "id": np.asarray(run.manifest.ids(split), dtype=object)[rows],
            "class": np.asarray(run.classes, dtype=object)[columns],
            "given": given_NK[rows, columns],
            "evidence": losses_NK[rows, columns],
            "p_wrong": p_wrong_NK[rows, columns],
            "quality": quality_NK[rows, columns],
        }
    )
    return Scored(split, NETWORK, frame, classes)


def _audited(run: LabelledRun, split: str, given_NK: np.ndarray) -> Scored | None:
    """What the stage audit wrote of a split; None if it judged nothing."""
    folder = run.folder / "data/audit"
    path = folder / QUALITY_FILE
    if not path.is_file():
        return None
    try:
        table = pd.read_parquet(path, filters=[("split", "==", split)])
        estimate = read_json(folder / ESTIMATE_FILE)["splits"]
        if split not in estimate:
            return None
        classes = {row["class"]: row for row in estimate[split]["classes"]}
    except (OSError, ValueError, LookupError, TypeError) as error:
        found = f"not readable: {' '.join(str(error).split())[:200]}"
        raise InputError(str(folder), found, "what the stage audit writes", "run it again: dvc repro audit") from error
    if len(table) != given_NK.size or not np.array_equal(table["given"].to_numpy(), given_NK.ravel()):
        found = f"judges other labels of split {split} than the run has"
        raise InputError(str(path), found, "the audit of this run's labels", "run it again: dvc repro audit")
    kept = table["quality"].notna().to_numpy()
    p_present, given = table["p_present"].to_numpy()[kept], table["given"].to_numpy()[kept]
    frame = pd.DataFrame(
        {
            "row": np.flatnonzero(kept) // given_NK.shape[1],
            "id": table["id"].to_numpy(object)[kept],
            "class": table["class"].astype(str).to_numpy(object)[kept],
            "given": given,
            "evidence": table["score"].to_numpy(np.float64)[kept],
            "p_wrong": np.where(given == 1, 1 - p_present, p_present),
            "quality": table["quality"].to_numpy()[kept],
        }
    )
    return Scored(split, AUDIT, frame, classes)
