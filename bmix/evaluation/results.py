"""All that is measured of a trained run, gathered once for metrics.json, the plots and the report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bmix.evaluation.metrics import (
    GROUPS,
    average_precision,
    class_groups,
    mean_average_precision,
    precision_recall_curves,
)
from bmix.evaluation.top1 import Top1, top1
from bmix.evaluation.verdicts import (
    VERDICTS,
    LabelVerdicts,
    count_labels,
    detection_scores,
    ranking_scores,
    repair_scores,
    verdict_shares,
)

if TYPE_CHECKING:
    from bmix.data.pretrained import Pretrained
    from bmix.evaluation.calibration import FittedCalibration
    from bmix.evaluation.prototypes import Prototypes

DECIMALS = 6
GROUPS_AND_ALL = ("all", *GROUPS)


@dataclass(frozen=True)
class TrainingTables:
    """What train wrote beside the model: history.csv, mixtures.parquet, sampler.csv, and of verdicts.json the flags."""

    history: pd.DataFrame
    mixtures: pd.DataFrame
    sampler: pd.DataFrame
    managed: bool
    epsilon: float

    @property
    def warmup_epochs(self) -> int:
        """The number of epochs before label management."""
        return int((self.history["phase"] == "warmup").sum())


@dataclass(frozen=True)
class NoiseScores:
    """How the verdicts dealt with wrong labels; the tables are those of bmix.evaluation.verdicts."""

    detection: pd.DataFrame
    repair: pd.DataFrame
    ranking: dict[str, float]
    counts: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """A run's results. Arrays (K,) are in the order of `labels.classes`.

    ap: average precision by split, the result's own split first. curves: recall and precision per class on that split.
    true: bool (N, K), None if the truth of the training labels is unknown. noise: None there too, and for a recipe
    that manages no labels. calibration: None where there is no val split to fit it to. top1: by split as `ap`; None
    unless every image has exactly one class. pretrained: None where nothing was pre-trained. pseudo: what is known of
    the pseudo-labels, None where there are none. prototypes: of the affinity head, None for another.
    """

    split: str
    thresholds: tuple[int, int]
    train_positives: np.ndarray
    ap: dict[str, np.ndarray]
    curves: list[tuple[np.ndarray, np.ndarray]]
    record: TrainingTables
    labels: LabelVerdicts
    true: np.ndarray | None
    noise: NoiseScores | None
    calibration: FittedCalibration | None = None
    top1: dict[str, Top1] | None = None
    pretrained: Pretrained | None = None
    pseudo: dict[str, Any] | None = None
    prototypes: Prototypes | None = None

    @property
    def classes(self) -> list[str]:
        """The class names in column order."""
        return self.labels.classes

    @property
    def groups(self) -> np.ndarray:
        """many, medium or few, per class."""
        return class_groups(self.train_positives, self.thresholds)

    def means(self, split: str) -> dict[str, Any]:
        """`mean_average_precision` on one of the splits."""
        return mean_average_precision(self.ap[split], self.train_positives, self.thresholds)


def evaluate(
    predictions: Mapping[str, tuple[Any, Any]],
    train_positives: np.ndarray,
    labels: LabelVerdicts,
    true_NK: np.ndarray | None,
    record: TrainingTables,
    thresholds: tuple[int, int],
    curve_points: int,
    single_label: bool = False,
) -> Evaluation:
    """Measure a run.

    Args:
        predictions: by split, the result's own split first: scores (N, K), and labels (N, K) with -1 for ignored cells.
        train_positives: (K,) true positives of each class in the training split, which make the groups.
        labels: the verdicts, placed.
        true_NK: the true training labels (rows as in `labels.ids`), None if they are unknown.
        record: the run's history.
        thresholds: of many-shot and medium-shot.
        curve_points: the most points kept of a precision-recall curve.
        single_label: every image has exactly one class.

    Raises:
        InputError: scores that are not finite or do not fit the labels, and labels that do not fit the task.
    """
    split = next(iter(predictions))
    noise = None
    if true_NK is not None and record.managed:
        counts = count_labels(labels, true_NK)
        noise = NoiseScores(detection_scores(counts), repair_scores(counts), ranking_scores(labels, true_NK), counts)
    return Evaluation(
        split=split,
        thresholds=thresholds,
        train_positives=np.asarray(train_positives),
        ap={name: average_precision(*prediction) for name, prediction in predictions.items()},
        curves=precision_recall_curves(*predictions[split], curve_points),
        record=record,
        labels=labels,
        true=None if true_NK is None else np.asarray(true_NK).astype(bool),
        noise=noise,
        top1={name: top1(*prediction) for name, prediction in predictions.items()} if single_label else None,
    )


def metrics_of(evaluation: Evaluation) -> dict[str, Any]:
    """The content of metrics.json: fractions rounded to 6 decimals, None for what is undefined.

    `mAP` and one block per further split: all, many, medium, few. `detection`: precision, recall and f1 of the labels
    called wrong, over all labels and over the given positives. `repair`: the share of the wrong labels that was
    repaired, of the right ones that was broken, and the share of wrong labels before and after. Both are None if
    the truth is unknown or no labels are managed. `top1`, in single-label runs alone, and in the block of each further
    split too: accuracy and error rate of the images, the same as means over the classes, and macro-F1.
    """
    blocks: dict[str, Any] = {}
    for split in evaluation.ap:
        means = evaluation.means(split)
        name = "mAP" if split == evaluation.split else split
        blocks[name] = {group: rounded(means[group]) for group in GROUPS_AND_ALL}
        if evaluation.top1 is not None:
            holder = blocks if name == "mAP" else blocks[name]
            holder["top1"] = evaluation.top1[split].content()
    blocks["detection"] = blocks["repair"] = None
    if evaluation.noise is not None:
        detection = evaluation.noise.detection.query("criterion == 'called wrong'").set_index("among")
        repair = evaluation.noise.repair.set_index("among")
        blocks["detection"] = _flat(detection, ["precision", "recall", "f1"])
        blocks["repair"] = _flat(repair, ["repaired_share", "broken_share", "wrong_before", "wrong_after"])
    return blocks


def summary(evaluation: Evaluation) -> str:
    """A few lines for the terminal: mAP by split, and of the wrong labels the shares found and repaired."""
    metrics = metrics_of(evaluation)
    lines = [f"{'mAP %':<16}" + "".join(f"{group:>8}" for group in GROUPS_AND_ALL)]
    for split in evaluation.ap:
        block = metrics["mAP" if split == evaluation.split else split]
        lines.append(f"{split:<16}" + "".join(f"{_percent(block[group]):>8}" for group in GROUPS_AND_ALL))
    for split, own in (evaluation.top1 or {}).items():
        of_classes = f"mean over the classes {100 * own.class_error:.2f} %, macro-F1 {100 * own.macro_f1:.2f} %"
        lines.append(f"{split}: top-1 error {100 * own.error:.2f} %, {of_classes}")
    if metrics["detection"] is not None:
        found, repaired = metrics["detection"]["recall"], metrics["repair"]["repaired"]
        lines.append(f"wrong labels found {_percent(found)} %, repaired {_percent(repaired)} %")
    return "\n".join(lines)


def class_table(evaluation: Evaluation) -> pd.DataFrame:
    """A row per class: its group, true and given training positives, AP per split, and the shares of the verdicts.

    `ap` is that of the result's split, `ap_NAME` (without `test-`) that of a further one. Shares of the verdicts end in
    `_positives` and `_negatives` for the given value. Where the truth is known, `wrong_positives` is the share of the
    given positives that are wrong.
    """
    given_NK = evaluation.labels.given_NK
    columns: dict[str, Any] = {
        "class": evaluation.classes,
        "group": evaluation.groups,
        "train_positives": evaluation.train_positives,
        "given_positives": given_NK.sum(axis=0),
    }
    for split, ap in evaluation.ap.items():
        columns["ap" if split == evaluation.split else f"ap_{split.removeprefix('test-')}"] = ap
    shares = verdict_shares(evaluation.labels)
    for given, name in ((1, "positives"), (0, "negatives")):
        of_value = shares[shares["given"] == given]
        columns |= {f"{verdict}_{name}": of_value[verdict].to_numpy() for verdict in VERDICTS}
    if evaluation.true is not None:
        wrong = (given_NK & ~evaluation.true).sum(axis=0)
        columns["wrong_positives"] = np.where(given_NK.any(axis=0), wrong / np.maximum(given_NK.sum(axis=0), 1), np.nan)
    return pd.DataFrame(columns).round(DECIMALS)


def rounded(value: float | None) -> float | None:
    """A number as metrics.json holds it: 6 decimals, None for what is undefined."""
    return None if value is None or math.isnan(value) else round(float(value), DECIMALS)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _flat(scores: pd.DataFrame, names: list[str]) -> dict[str, float | None]:
    return {
        name.removesuffix("_share") + suffix: rounded(float(scores[name][among]))
        for among, suffix in (("all", ""), ("positives", "_positives"))
        for name in names
    }
