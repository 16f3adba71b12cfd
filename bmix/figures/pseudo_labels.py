"""The figure of the labels that the warmed-up model gave to unlabelled images."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bmix.evaluation.results import Evaluation
from bmix.figures.panels import Panel, Plot
from bmix.figures.per_class import spread
from bmix.figures.style import BLUE, GREEN, percent_ticks, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 24


def pseudo_labels(evaluation: Evaluation) -> Plot | None:
    """How many images each class is present in by pseudo-labels, and how many of these are right, if that is known."""
    note = evaluation.pseudo
    if note is None:
        return None
    table = pd.DataFrame(note["classes"])
    shown = table.iloc[spread(np.argsort(-evaluation.train_positives, kind="stable"), MOST_CLASSES)]
    panels = [Panel(partial(_draw, shown, "present", "Images said to show the class"))]
    right = "present_precision"
    if table[right].notna().any():
        panels.append(Panel(partial(_draw, shown, right, "Of these right")))
    known = note.get(right)
    share = "" if known is None else f" ({known:.1%} of them right)"
    told = f"{note['images']:,} unlabelled images, {table['present'].sum():,} labels present{share}"
    return Plot(panels, table.dropna(axis="columns", how="all"), names=list(table["class"]), note=told)


def _draw(shown: pd.DataFrame, column: str, title: str, axes: Axes) -> None:
    axes.bar(range(len(shown)), shown[column].astype(float), color=BLUE if column == "present" else GREEN)
    axes.set_xticks(range(len(shown)), [short(name) for name in shown["class"]], rotation=90)
    axes.set(title=title)
    if column != "present":
        axes.set_ylim(0, 1)
        percent_ticks(axes.yaxis)
