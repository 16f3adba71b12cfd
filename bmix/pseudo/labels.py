"""Probabilities turned into labels, and what these are worth (Yang and Xu, NeurIPS 2020, arXiv 2006.07529).

Published for one class an image; here every label is decided by itself, and what is in doubt is no label.
"""

from __future__ import annotations

from typing import Any

import numpy as np

UNKNOWN = -1


def pseudo_labels(confidence_UK: np.ndarray, present: float, absent: float) -> np.ndarray:
    """1 from `present` on, 0 up to `absent`, else UNKNOWN: int8 (U, K). absent is below present."""
    decided_UK = np.full(confidence_UK.shape, UNKNOWN, np.int8)
    decided_UK[confidence_UK <= absent] = 0
    decided_UK[confidence_UK >= present] = 1
    return decided_UK


def pseudo_classes(confidence_UK: np.ndarray, present: float) -> np.ndarray:
    """Of images with exactly one class the likeliest, if its confidence reaches `present`, else all UNKNOWN.

    As published, with a threshold of 0. Takes a softmax (U, K); returns int8 (U, K). Of equal ones the first counts.
    """
    likeliest_U1 = confidence_UK.argmax(axis=1, keepdims=True)
    labels_UK = (np.arange(confidence_UK.shape[1]) == likeliest_U1).astype(np.int8)
    labels_UK[confidence_UK.max(axis=1) < present] = UNKNOWN
    return labels_UK


def pseudo_table(labels_UK: np.ndarray, classes: list[str], true_UK: np.ndarray | None) -> list[dict[str, Any]]:
    """A row per class: `class`; how many images it is `present` and `absent` in, and `unknown`; of the first two the
    share that is right, `present_precision` and `absent_precision`, None where the truth is unknown or there is none.
    """
    rows = []
    for k, name in enumerate(classes):
        column = labels_UK[:, k]
        row: dict[str, Any] = {"class": name}
        row |= {word: int((column == value).sum()) for word, value in _VALUES.items()}
        truth = None if true_UK is None else true_UK[:, k]
        row |= {f"{word}_precision": precision(column, truth, _VALUES[word]) for word in ("present", "absent")}
        rows.append(row)
    return rows


_VALUES = {"present": 1, "absent": 0, "unknown": UNKNOWN}


def precision(labels: np.ndarray, true: np.ndarray | None, value: int) -> float | None:
    """The share of the pseudo-labels of one value that are right; None if there is none or the truth is unknown."""
    chosen = labels == value
    return None if true is None or not chosen.any() else round(float((true[chosen] == value).mean()), 6)
