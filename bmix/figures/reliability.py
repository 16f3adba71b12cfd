"""The figure of the probabilities: how often what was given so many percent is there, before and after calibration."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bmix.evaluation.calibration import FittedCalibration
from bmix.evaluation.metrics import GROUPS
from bmix.evaluation.results import DECIMALS, Evaluation
from bmix.figures.panels import Panel, Plot
from bmix.figures.style import BLUE, GREY, GROUP_COLOURS, legend_below, percent_ticks, place_names, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STATES = (("before", GREY), ("after", BLUE))
MOST_NAMES = 12


def reliability(evaluation: Evaluation) -> Plot | None:
    """Share present against probability, and each class's calibration error; None where nothing was fitted."""
    fitted = evaluation.calibration
    if fitted is None:
        return None
    panels = [Panel(partial(draw, evaluation, fitted), height=4.2) for draw in (_draw_diagram, _draw_by_class)]
    return Plot(panels, reliability_table(fitted), evaluation.classes)


def reliability_table(fitted: FittedCalibration) -> pd.DataFrame:
    """`split`, `state` (before, after), `probability`, `share`, `cells`: the bins of the reliability diagrams."""
    parts = [measured.bins.assign(split=split) for split, measured in fitted.measured.items()]
    columns = ["split", "state", "probability", "share", "cells"]
    return pd.concat(parts, ignore_index=True)[columns].round(DECIMALS)


def _draw_diagram(evaluation: Evaluation, fitted: FittedCalibration, axes: Axes) -> None:
    shown = fitted.measured[evaluation.split]
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    for (state, colour), error in zip(STATES, shown.ece, strict=True):
        rows = shown.bins[shown.bins["state"] == state]
        sizes = 10 + 12 * np.log10(rows["cells"].to_numpy(float))
        axes.plot(rows["probability"], rows["share"], color=colour, linewidth=1.5)
        axes.scatter(
            rows["probability"], rows["share"], s=sizes, color=colour, zorder=3,
            label=f"{state}: error {100 * error:.2f} %",
        )  # fmt: skip
    axes.set(
        title=f"Temperature {fitted.temperature:.3f}, fitted on {fitted.split}",
        xlabel="probability of a class, mean of the bin", ylabel=f"share that shows it on {evaluation.split}",
        xlim=(-0.02, 1.02), ylim=(-0.02, 1.02),
    )  # fmt: skip
    percent_ticks(axes.xaxis)
    percent_ticks(axes.yaxis)
    legend_below(axes)


def _draw_by_class(evaluation: Evaluation, fitted: FittedCalibration, axes: Axes) -> None:
    points = 100 * np.column_stack(fitted.measured[evaluation.split].ece_K)
    known = np.flatnonzero(~np.isnan(points).any(axis=1))
    top = 1.1 * float(points[known].max(initial=0.1))
    axes.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    for group in GROUPS:
        members = known[evaluation.groups[known] == group]
        if len(members):
            before, after = points[members].T
            axes.scatter(before, after, s=40, color=GROUP_COLOURS[group], zorder=3, label=f"{group}-shot")
    axes.set(
        title="Calibration error of each class", xlabel="before, %", ylabel="after, %", xlim=(0, top), ylim=(0, top)
    )
    legend_below(axes, columns=3)
    worst = known[np.argsort(-points[known, 1], kind="stable")]
    names = [short(evaluation.classes[k]) for k in worst[:MOST_NAMES]]
    place_names(axes, points[worst], names, np.empty((0, 2)))
