"""The audit of a whole data set: training rows out of fold, the rows of other splits by the models of all folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bmix.audit.arrays import scores_of
from bmix.audit.labels import LabelAudit, judge
from bmix.audit.rehearsal import Rehearsal, rehearse

Features = Callable[[str], np.ndarray]
"""The features of a split's rows, (N, D)."""


@dataclass(frozen=True)
class Scores:
    """Scores of every split's rows, float32 (N, K), by models that never saw them.

    auc_K: the areas under the curves of the given training labels, float64 (K,). rehearsal: whether doubting the
    training labels pays; None where that is not known.
    """

    by_split: Mapping[str, np.ndarray]
    auc_K: np.ndarray
    rehearsal: Rehearsal | None


def frozen_scores(features: Features, given: Mapping[str, np.ndarray], folds: int, seed: int) -> Scores:
    """By features that no given label had a part in. given: the labels of each split, `train` among them."""
    train_ND = features("train")
    found = scores_of(train_ND.astype(np.float32), given["train"], folds, seed)
    others = {split: found.of_others(features(split)) for split in given if split != "train"}
    rehearsal = rehearse(train_ND, given["train"], folds, seed)
    return Scores({"train": found.scores_NK, **others}, found.auc_K, rehearsal)


def halves_scores(
    features: tuple[Features, Features], half_N: np.ndarray, given: Mapping[str, np.ndarray], folds: int, seed: int
) -> Scores:
    """By two networks, each trained on one half (0 or 1) of the training rows, and judging the other.

    Within the half that a network judges, scores are out of fold besides, so that no label has a part in its judgement.
    Nothing is rehearsed: heads on the few features of a network made for these classes learn no label by heart, as the
    network that will be trained does.
    """
    scores_NK = np.zeros(given["train"].shape, np.float32)
    others = {split: np.zeros(labels.shape, np.float32) for split, labels in given.items() if split != "train"}
    areas = []
    for own, of_split in enumerate(features):
        judged = half_N != own
        found = scores_of(of_split("train")[judged].astype(np.float32), given["train"][judged], folds, seed)
        scores_NK[judged] = found.scores_NK
        areas.append(found.auc_K)
        for split, total_NK in others.items():
            total_NK += found.of_others(of_split(split)) / len(features)
    return Scores({"train": scores_NK, **others}, np.mean(areas, axis=0), None)


def audit_splits(scores: Scores, given: Mapping[str, np.ndarray], classes: list[str]) -> dict[str, LabelAudit]:
    """Every split judged by its scores; how many labels are wrong is estimated for each by itself."""
    first = judge(scores.by_split["train"], given["train"], scores.auc_K, classes)
    others = {
        split: judge(scores.by_split[split], labels, _areas(scores.by_split[split], labels), classes, first.lines)
        for split, labels in given.items()
        if split != "train"
    }
    return {"train": first, **others}


def _areas(scores_NK: np.ndarray, given_NK: np.ndarray) -> np.ndarray:
    from bmix.audit.measure import area

    area_K = np.full(given_NK.shape[1], np.nan)
    for k in range(len(area_K)):
        known = given_NK[:, k] >= 0
        present = given_NK[known, k] == 1
        if 0 < present.sum() < len(present):
            area_K[k] = area(scores_NK[known, k], present)
    return area_K
