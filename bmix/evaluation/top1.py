"""How often the likeliest class is the right one, where every image has exactly one class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bmix.arrays import as_array
from bmix.support.errors import InputError


@dataclass(frozen=True)
class Top1:
    """Shares in [0, 1]. accuracy: of the images. class_accuracy: the mean over the classes with an image of the share
    of theirs. macro_f1: the mean over the same classes of F1 = 2 TP / (2 TP + FP + FN)."""

    accuracy: float
    class_accuracy: float
    macro_f1: float

    @property
    def error(self) -> float:
        """The share of the images whose likeliest class is another than theirs."""
        return 1 - self.accuracy

    @property
    def class_error(self) -> float:
        """The mean over the classes of the same share of their images."""
        return 1 - self.class_accuracy

    def content(self) -> dict[str, float]:
        """As metrics.json holds it, rounded to 6 decimals."""
        names = ("accuracy", "error", "class_accuracy", "class_error", "macro_f1")
        return {name: round(getattr(self, name), 6) for name in names}


def top1(scores_NK: Any, labels_NK: Any) -> Top1:
    """Measure scores by labels.

    Args:
        scores_NK: the likeliest class of each image has the highest; of equal ones the first counts. Array or tensor.
        labels_NK: a single 1 in every row; all else counts as absent. N at least 1.

    Raises:
        InputError: no image, or one with another number of classes than one.
    """
    scores_NK, present_NK = as_array(scores_NK), as_array(labels_NK) == 1
    counts_N = present_NK.sum(axis=1)
    if not len(counts_N) or (counts_N != 1).any():
        row = int(np.argmax(counts_N != 1)) if len(counts_N) else None
        found = "no image" if row is None else f"row {row} has {counts_N[row]} classes"
        raise InputError(
            "top-1 error", found, "images of exactly one class each", "correct them, or set model.task to multi-label"
        )
    true_N, called_N = present_NK.argmax(axis=1), scores_NK.argmax(axis=1)
    classes = present_NK.shape[1]
    found_K = np.bincount(true_N[true_N == called_N], minlength=classes)
    true_K, called_K = (np.bincount(values, minlength=classes) for values in (true_N, called_N))
    with_images_K = true_K > 0
    recall_K = found_K[with_images_K] / true_K[with_images_K]
    f1_K = 2 * found_K[with_images_K] / (true_K + called_K)[with_images_K]
    return Top1(float((true_N == called_N).mean()), float(recall_K.mean()), float(f1_K.mean()))
