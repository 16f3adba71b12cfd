"""What a person should know before they believe a run: one sentence each, with the remedy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bmix.data.groups import AUTO, group_cuts
from bmix.evaluation.results import Evaluation
from bmix.support.errors import quoted

LEARNT_BY_HEART = 0.35
"""Share of its highest value to which the loss of the given labels falls when they are being learnt by heart."""
FALL = 0.03
"""Fall of the validation mAP from its best epoch that is more than chance."""
NOT_LEARNT = 1.2
"""Mean loss of a class's clean positives above which the network has not learnt the class."""
FEW_STEPS = 10
UNTRAINED = (
    "These images were learnt from nothing, on a CPU. With frozen features of a pre-trained network a run takes "
    "minutes, and its labels can be audited: bmix embed --output FILE.npz --views 5 --weights WEIGHTS, "
    "then bmix repro --set features data.path=FILE.npz training.recipe=audited (docs/data.md)."
)


UNAUDITED = (
    "Nothing was audited, so that the recipe audited trusted the network alone, which may reject right labels of rare "
    "classes. Set audit.weights to pre-trained weights, or audit.features=network for two more trainings "
    "(docs/audit.md)."
)

MANAGING = ("balancemix", "audited")
"""The recipes that are recommended against labels learnt by heart."""


def cautions(
    evaluation: Evaluation, batch_size: int, untrained: bool = False, recipe: str = "", audited: bool = True
) -> list[str]:
    """Sentences about a run that was measured, the gravest first; none where nothing is to be said.

    untrained: the user's own images were learnt from nothing, without a GPU. recipe: that of the run, which is not
    recommended to it. audited: whether the stage audit judged the labels.
    """
    record = evaluation.record
    found = [
        learnt_by_heart(record.history, recipe),
        not_learnt(record.mixtures, recipe),
        few_steps(len(evaluation.labels.ids), batch_size),
        UNTRAINED if untrained else "",
        UNAUDITED if recipe == "audited" and not audited else "",
        empty_groups(evaluation.train_positives, evaluation.groups, evaluation.thresholds),
    ]
    return [sentence for sentence in found if sentence]


def learnt_by_heart(history: pd.DataFrame, recipe: str = "") -> str:
    """Whether the given labels are learnt by heart: their loss falls to little while the validation mAP falls too."""
    validation, given = history["val_map"].dropna(), history["given_loss"].dropna()
    if len(validation) < 2:
        return ""
    best, last = float(validation.max()), float(validation.iloc[-1])
    if best - last <= FALL:
        return ""
    epoch = int(history.loc[validation.index, "epoch"].iloc[int(validation.to_numpy().argmax())])
    fallen = f"mAP on val fell from {100 * best:.1f} (epoch {epoch}) to {100 * last:.1f}"
    if len(given) and given.iloc[-1] < LEARNT_BY_HEART * given.max():
        found = f"The given labels are being learnt by heart: their loss fell to {given.iloc[-1]:.2f} while {fallen}."
        if recipe in MANAGING:
            return f"{found} Train for fewer epochs, or lower training.learning_rate."
        return (
            f"{found} Train for fewer epochs, lower training.learning_rate, or try the recipe {' or '.join(MANAGING)}."
        )
    return f"The {fallen}. Train for fewer epochs, or lower training.learning_rate."


def not_learnt(mixtures: pd.DataFrame, recipe: str = "") -> str:
    """Which classes the network had not learnt when their labels were first managed."""
    if mixtures.empty:
        return ""
    first = mixtures[
        (mixtures["epoch"] == mixtures["epoch"].min()) & (mixtures["given"] == 1) & ~mixtures["degenerate"]
    ]
    names = first["class"][first["mean_0"] > NOT_LEARNT].tolist()
    if not names:
        return ""
    found = f"{len(names)} of {len(first)} classes were not learnt when label management began"
    if recipe == "audited":
        return (
            f"{found}, so that the network has no say about their labels: {quoted(names)}. "
            "Raise training.warmup_epochs."
        )
    return (
        f"{found}, so that their right labels may be taken for wrong ones: {quoted(names)}. "
        "Raise training.warmup_epochs, or try the recipe audited."
    )


def few_steps(images: int, batch_size: int) -> str:
    """Whether an epoch has so few steps that the settings made for large sets do not train."""
    steps = -(-images // batch_size)
    if steps >= FEW_STEPS:
        return ""
    return (
        f"An epoch has {steps} step{'s' * (steps != 1)} ({images:,} images, training.batch_size {batch_size}). "
        "Lower training.batch_size, or raise training.epochs."
    )


def empty_groups(positives_K: np.ndarray, groups_K: np.ndarray, thresholds: tuple[int, int]) -> str:
    """Whether all classes are few-shot by the thresholds; cuts by thirds of the classes are suggested."""
    if (groups_K != "few").any() or len(positives_K) < 3:
        return ""
    many, medium = group_cuts(positives_K, AUTO, AUTO)
    if many > max(positives_K):
        return ""
    return (
        f"No class has {thresholds[1]:,} training positives: all are few-shot. For groups of a third each: "
        f"evaluate.many=auto evaluate.medium=auto, which are {many} and {medium} here."
    )
