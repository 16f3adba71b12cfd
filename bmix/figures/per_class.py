"""Figures of the classes: how often they occur, and how well they are found."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bmix.evaluation.metrics import GROUPS
from bmix.evaluation.results import DECIMALS, Evaluation, class_table
from bmix.figures.panels import HEIGHT, Panel, Plot, small_panel
from bmix.figures.style import (
    GREY,
    GROUP_COLOURS,
    INK,
    legend_below,
    percent_ticks,
    place_names,
    plain_log_ticks,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 40
"""With more classes than this the bars are numbered by rank, since the figure would be longer than the page's table."""
MOST_NAMES = 25
MOST_CURVES = 24


def class_frequencies(evaluation: Evaluation) -> Plot:
    """Training positives of every class, most frequent first, coloured by group; marks show the given ones."""
    count = len(evaluation.classes)
    height = HEIGHT if count > NAMED else 1.5 + 0.23 * count
    table = class_table(evaluation)[["class", "group", "train_positives", "given_positives"]]
    shown = evaluation.classes if count <= NAMED else ()
    return Plot([Panel(partial(_draw_frequencies, evaluation), height=height)], table, shown)


def _draw_frequencies(evaluation: Evaluation, axes: Axes) -> None:
    order = np.argsort(-evaluation.train_positives, kind="stable")
    positives, groups = evaluation.train_positives[order], evaluation.groups[order]
    given = evaluation.labels.given_NK.sum(axis=0)[order]
    many, medium = evaluation.thresholds
    bounds = {"many": f"{many:,} or more", "medium": f"{medium:,} or more", "few": f"below {medium:,}"}
    places, named = np.arange(len(order)), len(order) <= NAMED
    for group in GROUPS:
        members = groups == group
        if members.any():
            (axes.barh if named else axes.bar)(
                places[members], positives[members], 0.8 if named else 1.0, color=GROUP_COLOURS[group],
                label=f"{group} ({bounds[group]})",
            )  # fmt: skip
    if (given != positives).any():
        (axes.vlines if named else axes.hlines)(
            np.maximum(given, 0.5), places - 0.42, places + 0.42, color=INK, linewidth=2, label="given labels"
        )
    counts, across = (axes.xaxis, axes.axvline) if named else (axes.yaxis, axes.axhline)
    top, bottom = max(positives.max(), given.max()), max(1, min(positives.min(), given[given > 0].min(initial=1e9)))
    axes.set(**({"xscale": "log"} if named else {"yscale": "log"}))
    axes.set(**{"xlim" if named else "ylim": (0.5 * bottom, 2 * top)})
    for threshold in evaluation.thresholds:
        if 0.5 * bottom < threshold < 2 * top:
            across(threshold, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    plain_log_ticks(counts)
    counts.set_label_text("training images that show the class (log scale)")
    if named:
        axes.set_yticks(places, [short(evaluation.classes[k]) for k in order])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(order) - 0.4, -0.6)
    else:
        axes.set(xlabel="class, by rank", xlim=(-0.6, len(order) - 0.4))
    axes.grid(visible=False, axis="y" if named else "x")
    legend_below(axes)


def ap_by_class(evaluation: Evaluation) -> Plot | None:
    """Average precision against the number of training positives; further test sets as hollow marks."""
    if np.isnan(evaluation.ap[evaluation.split]).all():
        return None
    table = class_table(evaluation)
    measured = [column for column in table if column == "ap" or str(column).startswith("ap_")]
    table = table[["class", "group", "train_positives", *measured]]
    return Plot([Panel(partial(_draw_ap, evaluation), height=4.2)], table, evaluation.classes)


def _draw_ap(evaluation: Evaluation, axes: Axes) -> None:
    ap = evaluation.ap[evaluation.split]
    shown = np.flatnonzero(~np.isnan(ap))
    others = [split for split in evaluation.ap if split != evaluation.split]
    positives, groups = np.maximum(evaluation.train_positives, 1), evaluation.groups
    for marker, split in zip("DsvP^", others, strict=False):
        further = evaluation.ap[split]
        axes.vlines(positives[shown], ap[shown], further[shown], color="#C9CED3", linewidth=1, zorder=1)
        axes.scatter(
            positives[shown], further[shown], s=26, marker=marker, facecolor="white", edgecolor=GREY, zorder=2,
            label=split,
        )  # fmt: skip
    for group in GROUPS:
        members = shown[groups[shown] == group]
        if len(members):
            axes.scatter(
                positives[members], ap[members], s=46, color=GROUP_COLOURS[group], zorder=3,
                label=f"{evaluation.split}, {group}",
            )  # fmt: skip
    axes.set_xscale("log")
    plain_log_ticks(axes.xaxis)
    percent_ticks(axes.yaxis)
    axes.margins(x=0.08)
    axes.set(
        xlabel="training images that show the class (log scale)", ylabel="average precision", ylim=(-0.03, 1.06)
    )  # fmt: skip
    legend_below(axes)
    # Where there are many classes, the ones furthest from the typical AP are named.
    shown = shown[np.argsort(-np.abs(ap[shown] - np.median(ap[shown])), kind="stable")]
    points = {split: np.column_stack([positives, evaluation.ap[split]])[shown] for split in evaluation.ap}
    names = [short(evaluation.classes[k]) for k in shown[:MOST_NAMES]]
    place_names(axes, points.pop(evaluation.split), names, np.concatenate([np.empty((0, 2)), *points.values()]))


def pr_curves(evaluation: Evaluation) -> Plot | None:
    """Precision against recall, a small panel per class, most frequent first, with the mean of the class's group."""
    ap, groups = evaluation.ap[evaluation.split], evaluation.groups
    by_frequency = np.argsort(-evaluation.train_positives, kind="stable")
    measured = by_frequency[~np.isnan(ap[by_frequency])]
    if not len(measured):
        return None
    grid = np.linspace(0.01, 1, 100)
    means = {}
    for group in GROUPS:
        curves = [_from_recall_zero(*evaluation.curves[k]) for k in measured if groups[k] == group]
        if curves:
            means[group] = np.mean([precision[np.searchsorted(recall, grid)] for recall, precision in curves], axis=0)
    shown = spread(measured, MOST_CURVES)
    panels = [small_panel(partial(_draw_curve, evaluation, int(k), grid, means[groups[k]])) for k in shown]
    key = [
        *((f"a {group}-shot class", GROUP_COLOURS[group], "line") for group in means),
        ("mean of its group", GREY, "line"),
    ]
    table, names = curve_table(evaluation), [evaluation.classes[k] for k in shown]
    return Plot(panels, table, names, note=some_of(len(shown), len(measured)), columns=4, key=key)


def _draw_curve(evaluation: Evaluation, k: int, grid: np.ndarray, mean: np.ndarray, axes: Axes) -> None:
    colour = GROUP_COLOURS[evaluation.groups[k]]
    recall, precision = _from_recall_zero(*evaluation.curves[k])
    axes.fill_between(recall, precision, color=colour, alpha=0.12, linewidth=0)
    axes.plot(grid, mean, color=GREY, linewidth=1.2)
    axes.plot(recall, precision, color=colour, linewidth=1.6)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes.set_xticklabels(["0", "recall %", "100"])
    axes.set_yticklabels(["0", "50", "100"])
    axes.set_title(short(evaluation.classes[k], 16), fontsize=9.5)
    ap = evaluation.ap[evaluation.split][k]
    # Where the curve is not.
    x, y, side = (0.05, 0.06, "left") if ap >= 0.5 else (0.97, 0.86, "right")
    axes.text(x, y, f"AP {100 * ap:.1f} %", fontsize=9, ha=side)


def curve_table(evaluation: Evaluation) -> pd.DataFrame:
    """`class`, `recall`, `precision`: the curves on the result's split, one class after the other."""
    parts = [
        pd.DataFrame({"class": name, "recall": recall, "precision": precision})
        for name, (recall, precision) in zip(evaluation.classes, evaluation.curves, strict=True)
    ]
    return pd.concat(parts, ignore_index=True).round(DECIMALS)


def _from_recall_zero(recall: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.insert(recall, 0, 0.0), np.insert(precision, 0, precision[0])


def spread(ordered: np.ndarray, most: int) -> np.ndarray:
    """At most so many of them, evenly spread over their order, the first and the last among them."""
    places = np.linspace(0, len(ordered) - 1, min(most, len(ordered))).round().astype(int)
    return ordered[np.unique(places)]


def some_of(shown: int, classes: int) -> str:
    """The sentence that says that not every class is drawn; empty if every one is."""
    return "" if shown == classes else f"Drawn are {shown} of {classes} classes, spread over the frequencies."
