"""Figures of the labels: what became of them, which class was given for which, and what looking is worth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bmix.evaluation.doubted import Doubts, found_by_looking
from bmix.evaluation.results import Evaluation
from bmix.evaluation.verdicts import (
    VERDICTS,
    count_labels,
    mislabelling_moves,
    outcome_counts,
    transition_counts,
    verdict_shares,
)
from bmix.figures.panels import WIDTH, Panel, Plot
from bmix.figures.style import BLUE, GREY, INK, OUTCOME_COLOURS, VERDICT_COLOURS, legend_below, percent_ticks, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FITTING = 20
"""With more classes than this the grid of moves is wider than a phone, where it scrolls."""
COUNTED = 12
"""With more classes than this the numbers do not fit into the cells of the grid."""


def transition(evaluation: Evaluation) -> Plot | None:
    """What became of the labels, true → given → refined; where the truth is unknown, given → verdict.

    None for a recipe that manages no labels.
    """
    if not evaluation.record.managed:
        return None
    known = evaluation.noise is not None and evaluation.true is not None
    panel = Panel(partial(_draw_outcomes if known else _draw_verdicts, evaluation), height=3.4 if known else 2.4)
    return Plot([panel], transition_table(evaluation))


def transition_table(evaluation: Evaluation) -> pd.DataFrame:
    """`class`, `true`, `given`, `refined`, `count`; `true` is empty where the truth is unknown."""
    true_NK = evaluation.labels.given_NK if evaluation.true is None else evaluation.true
    table = transition_counts(count_labels(evaluation.labels, true_NK), evaluation.classes)
    if evaluation.true is not None:
        return table
    # Counted with the given labels in the place of the truth: the cells in which the two differ are empty.
    table = table[table["true"] == table["given"]].reset_index(drop=True)
    return table.assign(true="")


def _draw_outcomes(evaluation: Evaluation, axes: Axes) -> None:
    assert evaluation.noise is not None
    outcomes = outcome_counts(evaluation.noise.counts).sum(axis=0)
    rows = [
        ("truly present,\ngiven as present", outcomes[1, 1]),
        ("truly absent,\ngiven as present", outcomes[0, 1]),
        ("truly present,\ngiven as absent", outcomes[1, 0]),
        ("truly absent,\ngiven as absent", outcomes[0, 0]),
    ]
    names = ["ends right", "ambiguous: counts less", "ends wrong"]
    _draw_shares(axes, [(f"{row}\n{counts.sum():,} labels", counts) for row, counts in rows], names, OUTCOME_COLOURS)


def _draw_verdicts(evaluation: Evaluation, axes: Axes) -> None:
    shares = verdict_shares(evaluation.labels)
    rows = []
    for given, word in ((1, "present"), (0, "absent")):
        of_value = shares[shares["given"] == given]
        counts = (of_value[VERDICTS].fillna(0).to_numpy() * of_value[["labels"]].to_numpy()).sum(axis=0).round()
        rows.append((f"given as {word}\n{counts.sum():,.0f} labels", counts))
    _draw_shares(axes, rows, VERDICTS, tuple(VERDICT_COLOURS[verdict] for verdict in VERDICTS))


def _draw_shares(
    axes: Axes, rows: Sequence[tuple[str, np.ndarray]], names: Sequence[str], colours: Sequence[str]
) -> None:
    counts = np.array([row for _, row in rows], dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    places, left = np.arange(len(rows)), np.zeros(len(rows))
    for column, (name, colour) in enumerate(zip(names, colours, strict=True)):
        axes.barh(places, shares[:, column], left=left, height=0.62, color=colour, label=name)
        for row in np.flatnonzero(shares[:, column] >= 0.08):
            share, start = shares[row, column], left[row]
            axes.text(start + share / 2, float(row), _percent(share), ha="center", va="center", color=INK, fontsize=9)
        left += shares[:, column]
    axes.set_yticks(places, [label for label, _ in rows])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the labels in the row")
    percent_ticks(axes.xaxis)
    axes.grid(visible=False)
    legend_below(axes, columns=3)


def moves(evaluation: Evaluation) -> Plot | None:
    """Which class was given for which; None if that is unknown or no class replaces another."""
    if evaluation.true is None:
        return None
    moved = mislabelling_moves(evaluation.labels.given_NK, evaluation.true)
    if not moved.sum():
        return None
    names, count = evaluation.classes, len(moved)
    lost, given = np.nonzero(moved)
    table = pd.DataFrame(
        {
            "class": [names[i] for i in lost],
            "wrongly_given": [names[j] for j in given],
            "labels": moved[lost, given].round(3),
        }
    )
    side = WIDTH if count <= FITTING else float(np.clip(1.6 + 0.165 * count, WIDTH, 12))
    return Plot([Panel(partial(_draw_moves, moved, names), side, side)], table, names)


def _draw_moves(moved: np.ndarray, classes: list[str], axes: Axes) -> None:
    count = len(classes)
    axes.imshow(np.where(moved > 0, moved, np.nan), cmap="viridis_r", vmin=0, aspect="equal")
    names = [short(name, 16) for name in classes]
    size = 9 if count <= FITTING else 8 if count <= 60 else 5
    axes.set_xticks(np.arange(count), names, rotation=90, fontsize=size)
    axes.set_yticks(np.arange(count), names, fontsize=size)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="wrongly given class", ylabel="true class, not given")
    if count <= COUNTED:
        for i, j in np.argwhere(moved > 0.5):
            colour = "white" if moved[i, j] > 0.5 * moved.max() else INK
            axes.text(j, i, f"{moved[i, j]:.0f}", ha="center", va="center", fontsize=8, color=colour)


def found(evaluation: Evaluation, doubts: Doubts) -> Plot | None:
    """Wrong labels found against labels looked at; None if the truth is unknown or nothing is ranked."""
    if evaluation.true is None:
        return None
    curve = found_by_looking(evaluation.labels, doubts, evaluation.true)
    table = pd.DataFrame({"looked_at": curve.looked_at, "found": curve.found})
    total = int((evaluation.true != evaluation.labels.given_NK).sum())
    if not total or len(table) < 2:
        return None
    return Plot([Panel(partial(_draw_found, table, total, evaluation.labels.given_NK.size))], table)


def _draw_found(table: pd.DataFrame, total: int, labels: int, axes: Axes) -> None:
    looked_at, found_share = table["looked_at"].to_numpy(), table["found"].to_numpy() / total
    axes.plot(looked_at, np.minimum(looked_at / total, 1), color=GREY, linestyle=(0, (4, 3)), label="no look in vain")
    axes.plot(looked_at, looked_at / labels, color=GREY, linewidth=1, label="in random order")
    axes.plot(looked_at, found_share, color=BLUE, linewidth=2, label="in this order")
    axes.set(xlabel="labels looked at", ylabel="wrong labels found", ylim=(0, 1.02), xlim=(0, looked_at[-1]))
    axes.xaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    axes.locator_params(axis="x", nbins=5)
    percent_ticks(axes.yaxis)
    legend_below(axes, columns=3)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share < 0.995 else f"{100 * share:.4g} %"
