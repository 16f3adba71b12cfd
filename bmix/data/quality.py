"""What the stage audit says of the labels of a split, as later stages and the commands about labels read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bmix.support.errors import InputError
from bmix.support.files import read_json

QUALITY_FILE, ESTIMATE_FILE = "label_quality.parquet", "noise_estimate.json"
_NUMBERS = ("given", "score", "p_present", "quality")
_REMEDY = "run the stage audit again: dvc repro audit"


@dataclass(frozen=True)
class LabelQuality:
    """The audit of one split, (N, K) each, rows in the order of the manifest.

    given_NK: int8, 1, 0, and -1 for ignored. score_NK: out of fold, near the share of given positives among images like
    this one. p_present_NK: in [0, 1], P(truly present | score, given). quality_NK: log-odds that the given value is
    right, NaN for a label that is ignored or that people looked at. classes: by name what noise_estimate.json holds.
    """

    given_NK: np.ndarray
    score_NK: np.ndarray
    p_present_NK: np.ndarray
    quality_NK: np.ndarray
    classes: Mapping[str, dict[str, Any]]

    def p_wrong(self) -> np.ndarray:
        """P(the given value is wrong), float64 (N, K) in [0, 1]; of an ignored label that it is present."""
        return np.where(self.given_NK == 1, 1 - self.p_present_NK, self.p_present_NK)

    def doubtable(self) -> np.ndarray:
        """Labels that can be doubted, neither ignored nor reviewed; bool (N, K)."""
        return ~np.isnan(self.quality_NK)


def read_quality(folder: Path, split: str, given_NK: np.ndarray) -> LabelQuality | None:
    """The audit of one split from the outputs of the stage in `folder`; None if it judged none of that split.

    given_NK: the labels that the run gives, 1, 0, and -1 for ignored. InputError for a file that is not readable or
    judges other labels.
    """
    path = folder / QUALITY_FILE
    try:
        table = pd.read_parquet(path, filters=[("split", "==", split)], columns=list(_NUMBERS))
        estimate = read_json(folder / ESTIMATE_FILE)["splits"].get(split)
        if estimate is None and not len(table):
            return None
        values = [table[name].to_numpy(np.float64) for name in _NUMBERS]
        classes = {str(row["class"]): dict(row) for row in estimate["classes"]}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        found = f"not readable: {' '.join(str(error).split())[:200]}"
        raise InputError(str(path), found, "what the stage audit writes", _REMEDY) from error
    if len(table) != given_NK.size or (values[0] != given_NK.ravel()).any():
        found = f"judges other labels of split {split} than the run has"
        raise InputError(str(path), found, "the audit of this run's labels", _REMEDY)
    _, score_NK, p_present_NK, quality_NK = (value.reshape(given_NK.shape) for value in values)
    return LabelQuality(given_NK, score_NK, p_present_NK, quality_NK, classes)
