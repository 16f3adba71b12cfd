"""Figures of the classes: how often they occur, and how well they are found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bmix.evaluation.metrics import GROUPS
from bmix.evaluation.results import Evaluation
from bmix.figures.style import GREY, GROUP_COLOURS, INK, figure, legend_below, place_names, plain_log_ticks, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED_VERTICALLY_FROM = 12
MOST_NAMES = 25


def class_frequencies(evaluation: Evaluation, path: Path) -> bool:
    """Training positives of every class, most frequent first, coloured by group; ticks show the given ones."""
    order = np.argsort(-evaluation.train_positives, kind="stable")
    positives, groups = evaluation.train_positives[order], evaluation.groups[order]
    given = evaluation.labels.given_NK.sum(axis=0)[order]
    count = len(order)
    many, medium = evaluation.thresholds
    bounds = {"many": f"{many:,} or more", "medium": f"{medium:,} or more", "few": f"below {medium:,}"}
    with figure(path, float(np.clip(1.5 + 0.45 * count, 7.5, 16)), 4.6, evaluation.classes) as drawn:
        axes = drawn.subplots()
        places = np.arange(count)
        for group in GROUPS:
            members = groups == group
            if members.any():
                axes.bar(
                    places[members], positives[members], width=0.8, color=GROUP_COLOURS[group],
                    label=f"{group}-shot ({bounds[group]}): {_count(int(members.sum()))}",
                )  # fmt: skip
        if (given != positives).any():
            axes.hlines(
                np.maximum(given, 0.5),
                places - 0.42,
                places + 0.42,
                color=INK,
                linewidth=2,
                label="given (noisy) labels",
            )
        top, bottom = max(positives.max(), given.max()), max(1, min(positives.min(), given[given > 0].min(initial=1e9)))
        axes.set_yscale("log")
        axes.set_ylim(0.5 * bottom, 2 * top)
        for threshold in evaluation.thresholds:
            if 0.5 * bottom < threshold < 2 * top:
                axes.axhline(threshold, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        plain_log_ticks(axes.yaxis)
        axes.set(title="How often each class occurs in training", ylabel="images that show the class (log scale)")
        axes.set_xlim(-0.6, count - 0.4)
        axes.grid(visible=False, axis="x")
        _name_classes(axes, [evaluation.classes[k] for k in order])
        axes.legend(loc="upper right", fontsize=9)
    return True


def _name_classes(axes: Axes, names: list[str]) -> None:
    count = len(names)
    turned = count > NAMED_VERTICALLY_FROM or max(map(len, names)) > 8
    axes.set_xticks(np.arange(count), [short(name) for name in names])
    axes.tick_params(axis="x", labelrotation=90 if turned else 0, labelsize=9 if count <= 40 else 7, length=0)


def pr_curves(evaluation: Evaluation, path: Path) -> bool:
    """Precision against recall: a panel per group, every class a thin line, best and worst class named."""
    ap, groups = evaluation.ap[evaluation.split], evaluation.groups
    present = [group for group in GROUPS if ((groups == group) & ~np.isnan(ap)).any()]
    if not present:
        return False
    grid = np.linspace(0.01, 1, 100)
    with figure(path, 4.2 * len(present) + 0.4, 4.6, evaluation.classes) as drawn:
        for axes, group in zip(drawn.subplots(1, len(present), squeeze=False, sharey=True)[0], present, strict=True):
            members = np.flatnonzero((groups == group) & ~np.isnan(ap))
            colour = GROUP_COLOURS[group]
            curves = [_from_recall_zero(*evaluation.curves[k]) for k in members]
            for recall, precision in curves:
                axes.plot(recall, precision, color=colour, alpha=0.35, linewidth=1)
            mean = np.mean([precision[np.searchsorted(recall, grid)] for recall, precision in curves], axis=0)
            axes.plot(grid, mean, color=colour, linewidth=3, label=f"mean of {_count(len(members))}")
            ranked = members[np.argsort(ap[members], kind="stable")]
            extremes = [("best", ranked[-1], "-"), ("worst", ranked[0], (0, (4, 2)))] if len(members) > 1 else []
            for word, k, line in extremes:
                axes.plot(
                    *_from_recall_zero(*evaluation.curves[k]), color=INK, linewidth=1.2, linestyle=line,
                    label=f"{word}: {short(evaluation.classes[k])}, AP {ap[k]:.2f}",
                )  # fmt: skip
            axes.set(title=f"{group}-shot: mAP {ap[members].mean():.3f}", xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
            legend_below(axes, columns=1)
        drawn.axes[0].set_ylabel(f"precision on {evaluation.split}")
    return True


def _from_recall_zero(recall: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.insert(recall, 0, 0.0), np.insert(precision, 0, precision[0])


def _count(classes: int) -> str:
    return f"{classes} class{'es' * (classes != 1)}"


def ap_by_class(evaluation: Evaluation, path: Path) -> bool:
    """Average precision against the number of training positives; further test sets as hollow marks."""
    ap = evaluation.ap[evaluation.split]
    shown = np.flatnonzero(~np.isnan(ap))
    if not len(shown):
        return False
    others = [split for split in evaluation.ap if split != evaluation.split]
    positives, groups = np.maximum(evaluation.train_positives, 1), evaluation.groups
    with figure(path, 9.5, 5.4, evaluation.classes) as drawn:
        axes = drawn.subplots()
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
                    label=f"{evaluation.split}, {group}-shot",
                )  # fmt: skip
        axes.set_xscale("log")
        plain_log_ticks(axes.xaxis)
        axes.margins(x=0.08)
        axes.set(
            title="Average precision of each class against its frequency in training",
            xlabel="training images that show the class (log scale)", ylabel="average precision", ylim=(-0.03, 1.06),
        )  # fmt: skip
        legend_below(axes, columns=5)
        # Where there are many classes, the ones furthest from the typical AP are named.
        shown = shown[np.argsort(-np.abs(ap[shown] - np.median(ap[shown])), kind="stable")]
        points = {split: np.column_stack([positives, evaluation.ap[split]])[shown] for split in evaluation.ap}
        names = [short(evaluation.classes[k]) for k in shown[:MOST_NAMES]]
        place_names(axes, points.pop(evaluation.split), names, np.concatenate([np.empty((0, 2)), *points.values()]))
    return True
