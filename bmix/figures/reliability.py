"""The figure of the probabilities: how often what was given so many percent is there, before and after calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bmix.evaluation.metrics import GROUPS
from bmix.evaluation.results import Evaluation
from bmix.figures.style import BLUE, GREY, GROUP_COLOURS, figure, legend_below, place_names, short

STATES = (("before", GREY), ("after", BLUE))
MOST_NAMES = 12


def reliability(evaluation: Evaluation, path: Path) -> bool:
    """Share present against probability, and each class's calibration error; False where nothing was fitted."""
    fitted = evaluation.calibration
    if fitted is None:
        return False
    shown = fitted.measured[evaluation.split]
    with figure(path, 11, 5.0, evaluation.classes) as drawn:
        diagram, by_class = drawn.subplots(1, 2)
        diagram.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        for (state, colour), error in zip(STATES, shown.ece, strict=True):
            rows = shown.bins[shown.bins["state"] == state]
            sizes = 10 + 12 * np.log10(rows["cells"].to_numpy(float))
            diagram.plot(rows["probability"], rows["share"], color=colour, linewidth=1.5)
            diagram.scatter(
                rows["probability"], rows["share"], s=sizes, color=colour, zorder=3,
                label=f"{state}: error {100 * error:.2f} %",
            )  # fmt: skip
        diagram.set(
            title=f"Temperature {fitted.temperature:.3f}, fitted on {fitted.split}",
            xlabel="probability of a class, mean of the bin", ylabel=f"share that shows it on {evaluation.split}",
            xlim=(-0.02, 1.02), ylim=(-0.02, 1.02),
        )  # fmt: skip
        legend_below(diagram)
        points = 100 * np.column_stack(shown.ece_K)
        known = np.flatnonzero(~np.isnan(points).any(axis=1))
        top = 1.1 * float(points[known].max(initial=0.1))
        by_class.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        for group in GROUPS:
            members = known[evaluation.groups[known] == group]
            if len(members):
                by_class.scatter(
                    *points[members].T, s=40, color=GROUP_COLOURS[group], zorder=3, label=f"{group}-shot"
                )  # fmt: skip
        by_class.set(
            title="Calibration error of each class", xlabel="before, %", ylabel="after, %", xlim=(0, top), ylim=(0, top)
        )
        legend_below(by_class)
        worst = known[np.argsort(-points[known, 1], kind="stable")]
        names = [short(evaluation.classes[k]) for k in worst[:MOST_NAMES]]
        place_names(by_class, points[worst], names, np.empty((0, 2)))
    return True
