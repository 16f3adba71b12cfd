"""The content of plots/: each figure as PNG for people, and its numbers as CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bmix.evaluation.calibration import FittedCalibration
from bmix.evaluation.doubted import Doubts
from bmix.evaluation.results import DECIMALS, Evaluation, class_table
from bmix.figures.gallery import Gallery, draw_sheet, galleries, gallery_table
from bmix.figures.labels import found, moves, transition
from bmix.figures.panels import Drawn, Plot, render
from bmix.figures.per_class import ap_by_class, class_frequencies, pr_curves
from bmix.figures.pretraining import pretraining
from bmix.figures.prototypes import prototypes
from bmix.figures.pseudo_labels import pseudo_labels
from bmix.figures.reliability import reliability
from bmix.figures.training import learning_curves, mixtures, sampler, verdict_shares_by_epoch
from bmix.support.spreadsheet import write_named_csv

FIGURES: dict[str, Callable[[Evaluation], Plot | None]] = {
    "pretraining": pretraining,
    "pseudo_labels": pseudo_labels,
    "learning_curves": learning_curves,
    "class_frequencies": class_frequencies,
    "ap_by_class": ap_by_class,
    "pr_curves": pr_curves,
    "reliability": reliability,
    "verdict_shares": verdict_shares_by_epoch,
    "transition": transition,
    "moves": moves,
    "mixtures": mixtures,
    "sampler": sampler,
    "prototypes": prototypes,
}
"""What makes each figure; None where the run has nothing to show in it."""
NAMES = ("id", "file", "class", "wrongly_given", "others", "suggestion", "nearest")
"""Columns of names, which no spreadsheet may take for formulas."""


class Shown(NamedTuple):
    """A figure as the page shows it: its panels, and a sentence on this run, if any."""

    panels: list[Drawn]
    note: str


class Drawings(NamedTuple):
    """What the page shows beside its tables: figures by name, and the images to look at.

    files: of the training images, relative to their root, by row; empty where instances have no picture.
    """

    figures: dict[str, Shown]
    galleries: list[Gallery]
    files: Sequence[str]


def write_plots(
    evaluation: Evaluation, doubts: Doubts, folder: Path, image_root: Path, files: Sequence[str]
) -> Drawings:
    """Write every plot into `folder`, and return what of it the page shows. Equal results give equal bytes.

    files: the training images in the order of `evaluation.labels.ids`, relative to their root; none where instances
    have no picture.
    """
    # First what can fail: an image that cannot be read.
    shown = galleries(evaluation, doubts, [image_root / file for file in files])
    for gallery in shown:
        _write_table(folder / f"{gallery.name}.csv", gallery_table(gallery, files))
        if gallery.thumbnails:
            draw_sheet(gallery, evaluation, folder / f"{gallery.name}.png")
    write_named_csv(folder / "classes.csv", class_table(evaluation))
    if evaluation.calibration is not None:
        _write_table(folder / "thresholds.csv", threshold_table(evaluation.calibration, evaluation.classes))
    plots = {name: make(evaluation) for name, make in FIGURES.items()} | {"found": found(evaluation, doubts)}
    figures = {}
    for name, plot in plots.items():
        if plot is not None:
            _write_table(folder / f"{name}.csv", plot.table)
            figures[name] = Shown(render(plot, folder / f"{name}.png"), plot.note)
    return Drawings(figures, shown, files)


def threshold_table(fitted: FittedCalibration, classes: list[str]) -> pd.DataFrame:
    """`class`, `threshold`, and on the split of the fit `positives`, precision, recall, f1, ece_before, ece_after."""
    before_K, after_K = fitted.measured[fitted.split].ece_K
    table = fitted.thresholds.assign(ece_before=before_K, ece_after=after_K).round(DECIMALS)
    table.insert(0, "class", classes)
    return table


def _write_table(path: Path, table: pd.DataFrame) -> None:
    write_named_csv(path, table, [column for column in NAMES if column in table])
