"""The content of plots/: PNG files for people, csv files for `dvc plots`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from bmix.evaluation.calibration import FittedCalibration
from bmix.evaluation.results import DECIMALS, Evaluation, class_table
from bmix.evaluation.verdicts import count_labels, transition_counts
from bmix.figures.labels import suspect_sheet, transition
from bmix.figures.per_class import ap_by_class, class_frequencies, pr_curves
from bmix.figures.reliability import reliability
from bmix.figures.training import learning_curves, mixtures, sampler, verdict_shares_by_epoch
from bmix.support.files import write_csv
from bmix.support.spreadsheet import write_named_csv

FIGURES: dict[str, Callable[[Evaluation, Path], bool]] = {
    "learning_curves": learning_curves,
    "class_frequencies": class_frequencies,
    "ap_by_class": ap_by_class,
    "pr_curves": pr_curves,
    "reliability": reliability,
    "verdict_shares": verdict_shares_by_epoch,
    "transition": transition,
    "mixtures": mixtures,
    "sampler": sampler,
}
"""What draws each PNG; it returns False, and writes nothing, where the run has nothing to show there."""


def write_plots(evaluation: Evaluation, folder: Path, image_paths: Sequence[Path]) -> list[str]:
    """Write every plot into `folder`; the names of the PNG files (without suffix) that there is something to show in.

    image_paths: the training images in the order of `evaluation.labels.ids`. Equal results give equal bytes.
    """
    write_named_csv(folder / "pr_curves.csv", curve_table(evaluation))
    write_named_csv(folder / "classes.csv", class_table(evaluation))
    write_named_csv(folder / "transition.csv", transition_table(evaluation))
    if evaluation.calibration is not None:
        write_csv(folder / "reliability.csv", reliability_table(evaluation.calibration))
        write_named_csv(folder / "thresholds.csv", threshold_table(evaluation.calibration, evaluation.classes))
    # First what can fail: an image that cannot be read.
    suspected = suspect_sheet(evaluation, folder / "suspects.png", image_paths)
    drawn = [name for name, draw in FIGURES.items() if draw(evaluation, folder / f"{name}.png")]
    return drawn + ["suspects"] * suspected


def curve_table(evaluation: Evaluation) -> pd.DataFrame:
    """`class`, `recall`, `precision`: the curves on the result's split, one class after the other."""
    parts = [
        pd.DataFrame({"class": name, "recall": recall, "precision": precision})
        for name, (recall, precision) in zip(evaluation.classes, evaluation.curves, strict=True)
    ]
    return pd.concat(parts, ignore_index=True).round(DECIMALS)


def reliability_table(fitted: FittedCalibration) -> pd.DataFrame:
    """`split`, `state` (before, after), `probability`, `share`, `cells`: the bins of the reliability diagrams."""
    parts = [measured.bins.assign(split=split) for split, measured in fitted.measured.items()]
    columns = ["split", "state", "probability", "share", "cells"]
    return pd.concat(parts, ignore_index=True)[columns].round(DECIMALS)


def threshold_table(fitted: FittedCalibration, classes: list[str]) -> pd.DataFrame:
    """`class`, `threshold`, and on the split of the fit `positives`, precision, recall, f1, ece_before, ece_after."""
    before_K, after_K = fitted.measured[fitted.split].ece_K
    table = fitted.thresholds.assign(ece_before=before_K, ece_after=after_K).round(DECIMALS)
    table.insert(0, "class", classes)
    return table


def transition_table(evaluation: Evaluation) -> pd.DataFrame:
    """`class`, `true`, `given`, `refined`, `count`; `true` is empty where the truth is unknown."""
    true_NK = evaluation.labels.given_NK if evaluation.true is None else evaluation.true
    table = transition_counts(count_labels(evaluation.labels, true_NK), evaluation.classes)
    if evaluation.true is not None:
        return table
    # Counted with the given labels in the place of the truth: the cells in which the two differ are empty.
    table = table[table["true"] == table["given"]].reset_index(drop=True)
    return table.assign(true="")
