"""The figure of what the backbone learnt before it saw a label."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from bmix.evaluation.results import Evaluation
from bmix.figures.panels import Panel, Plot
from bmix.figures.style import BLUE, GREEN, percent_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def pretraining(evaluation: Evaluation) -> Plot | None:
    """The loss of each epoch, and what the task measures: accuracy of rotation, spread of simsiam."""
    if evaluation.pretrained is None:
        return None
    history = evaluation.pretrained.history
    panels = [Panel(partial(_draw, history, "loss"))]
    panels += [Panel(partial(_draw, history, name)) for name in ("accuracy", "spread") if history[name].notna().any()]
    note = f"{evaluation.pretrained.method}, {evaluation.pretrained.images:,} images"
    return Plot(panels, history.dropna(axis="columns", how="all"), note=note)


def _draw(history: pd.DataFrame, name: str, axes: Axes) -> None:
    axes.plot(history["epoch"], history[name], color=BLUE if name == "loss" else GREEN, marker="o", markersize=3)
    axes.set(title=name.capitalize(), xlabel="epoch")
    if name != "loss":
        axes.set_ylim(0, 1 if name == "accuracy" else None)
    if name == "accuracy":
        percent_ticks(axes.yaxis)
