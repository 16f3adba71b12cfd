"""What is stored beside a model's weights so that its numbers can be acted on: a temperature, a threshold per class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from bmix.support.errors import listed
from bmix.support.readers import Made, read_json_file, shown

CALIBRATION = "calibration.json"
UNFITTED = 0.5
"""The threshold of a class for which none was fitted."""
_MADE = Made(
    "a temperature and a threshold for each class, as the stage evaluate fits them",
    "fit them again: dvc repro --force --single-item evaluate; or remove the file: all thresholds are then 0.5",
)


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities, and from which probability on a class counts as present.

    temperature: what logits are divided by before they become probabilities. thresholds: in the order of the classes,
    each in [0, 1]. fitted_on: the split whose images both were fitted to; None if nothing was fitted.
    """

    temperature: float
    thresholds: tuple[float, ...]
    fitted_on: str | None = None

    @classmethod
    def unfitted(cls, class_count: int) -> Calibration:
        """Probabilities as the network gives them, and 0.5 for every class."""
        return cls(1.0, (UNFITTED,) * class_count)

    def present(self, probabilities_BK: np.ndarray) -> np.ndarray:
        """Which classes reach their thresholds, bool (B, K)."""
        return np.asarray(probabilities_BK, np.float64) >= np.array(self.thresholds)


def weights_digest(weights: Path) -> str:
    """16 hex digits of a file of weights, by which a calibration names the weights that it belongs to."""
    state = hashlib.blake2b(digest_size=8)
    with weights.open("rb") as file:
        while block := file.read(2**20):
            state.update(block)
    return state.hexdigest()


def read_calibration(folder: Path, classes: Sequence[str], weights: Path) -> Calibration | None:
    """The calibration in a model's folder; None if there is none, as before the stage evaluate.

    InputError if the file is damaged, or belongs to other weights or classes.
    """
    path = folder / CALIBRATION
    if not path.exists():
        return None
    content = read_json_file(path, _MADE)
    if not isinstance(content, dict) or not isinstance(content.get("classes"), dict):
        _MADE.refuse(path, "holds no classes")
    if content.get("weights") != weights_digest(weights):
        _MADE.refuse(path, f"was fitted to other weights than those of {weights.name}")
    if list(content["classes"]) != list(classes):
        _MADE.refuse(path, f"is about the classes {listed(content['classes'])}", f"the classes {listed(classes)}")
    temperature, split = content.get("temperature"), content.get("split")
    if not _is_number(temperature) or temperature <= 0:
        _MADE.refuse(path, f"temperature is {shown(temperature)}", "a number above 0")
    if split is not None and not isinstance(split, str):
        _MADE.refuse(path, f"split is {shown(split)}", "the name of a split, or null")
    thresholds = []
    for name, values in content["classes"].items():
        threshold = values.get("threshold") if isinstance(values, dict) else None
        if not _is_number(threshold) or not 0 <= threshold <= 1:
            _MADE.refuse(path, f"the threshold of {shown(name)} is {shown(threshold)}", "a number from 0 to 1")
        thresholds.append(float(threshold))
    return Calibration(float(temperature), tuple(thresholds), split)


def _is_number(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float) and abs(value) < float("inf")
