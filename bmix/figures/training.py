"""Figures of how the training went: learning curves, verdicts, the sampler, the loss mixtures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bmix.evaluation.results import Evaluation
from bmix.figures.style import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    INK,
    RED,
    SKY,
    VERDICT_COLOURS,
    figure,
    legend_below,
    mark_warmup,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PANELS = 12
# mixtures.parquet's histograms: 60 bins equally spaced in log10 from 1e-6 to 1e2.
LOSS_EDGES = np.linspace(-6, 2, 61)


def learning_curves(evaluation: Evaluation, path: Path) -> bool:
    """Loss per epoch in training and on the given labels, and mAP on val where there is one."""
    history = evaluation.record.history
    with_val = bool(history["val_map"].notna().any())
    with figure(path, 11 if with_val else 6.5, 4.2) as drawn:
        panels = drawn.subplots(1, 1 + with_val, squeeze=False)[0]
        panels[0].plot(
            history["epoch"],
            history["train_loss"],
            color=BLUE,
            marker="o",
            markersize=3,
            label="training",
        )
        panels[0].set(title="Loss", xlabel="epoch", ylabel="training loss, summed over classes")
        drawn_axes = [panels[0]]
        # A recipe that learns nothing from the given labels' losses does not compute them.
        if history["given_loss"].notna().any():
            # The two losses differ in scale by the number of classes.
            given = panels[0].twinx()
            given.plot(
                history["epoch"],
                history["given_loss"],
                color=RED,
                marker="s",
                markersize=3,
                label="given labels (audit)",
            )
            given.set_ylabel("BCE of a given label, mean")
            given.grid(visible=False)
            given.spines["right"].set_visible(True)
            drawn_axes.append(given)
        for axes in drawn_axes:
            axes.set_ylim(bottom=0)
            axes.yaxis.label.set_color(axes.get_lines()[0].get_color())
        legend_below(panels[0], [axes.get_lines()[0] for axes in drawn_axes])
        mark_warmup(panels[0], evaluation.record.warmup_epochs, len(history))
        if with_val:
            best = history["val_map"].max()
            panels[1].plot(history["epoch"], history["val_map"], color=GREEN, marker="o", markersize=3)
            panels[1].set(
                title="Mean average precision on val", xlabel="epoch", ylabel="mAP", ylim=(0, min(1, best * 1.15))
            )
            mark_warmup(panels[1], evaluation.record.warmup_epochs, len(history), label=True)
    return True


def verdict_shares_by_epoch(evaluation: Evaluation, path: Path) -> bool:
    """Shares of labels that are not clean, over the epochs; False where labels are not managed."""
    history = evaluation.record.history
    if not history["clean"].notna().any():
        return False
    panels = [
        ("Given positives that are not clean", "_positives", _wrong_share(evaluation, positives=True)),
        ("All labels that are not clean", "", _wrong_share(evaluation, positives=False)),
    ]
    with figure(path, 11, 4.2) as drawn:
        for axes, (title, suffix, wrong) in zip(drawn.subplots(1, 2), panels, strict=True):
            managed = history[history[f"clean{suffix}"].notna()]
            axes.stackplot(
                managed["epoch"], managed[f"ambiguous{suffix}"], managed[f"relabelled{suffix}"],
                labels=["ambiguous", "re-labelled"],
                colors=[VERDICT_COLOURS["ambiguous"], VERDICT_COLOURS["relabelled"]], alpha=0.9, linewidth=0,
            )  # fmt: skip
            top = float((1 - managed[f"clean{suffix}"]).max())
            if wrong is not None:
                axes.axhline(wrong, color=INK, linewidth=1.3, linestyle=(0, (2, 2)), label="truly wrong")
                top = max(top, wrong)
            axes.set(title=title, xlabel="epoch", ylabel="share of the labels")
            axes.set_ylim(0, min(1, 1.25 * top) or 1)
            axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")
            mark_warmup(axes, evaluation.record.warmup_epochs, len(history), label=True)
            legend_below(axes)
    return True


def _wrong_share(evaluation: Evaluation, positives: bool) -> float | None:
    if evaluation.true is None:
        return None
    wrong_NK = evaluation.true != evaluation.labels.given_NK
    return float(wrong_NK[evaluation.labels.given_NK].mean() if positives else wrong_NK.mean())


def sampler(evaluation: Evaluation, path: Path) -> bool:
    """Quantiles of N·p(x) over the epochs, and the effective sample size."""
    quantiles = evaluation.record.sampler
    epochs = quantiles["epoch"]
    with figure(path, 11, 4.2) as drawn:
        spread, size = drawn.subplots(1, 2)
        spread.fill_between(
            epochs, quantiles["minimum"], quantiles["maximum"], color=SKY, alpha=0.25, linewidth=0, label="all images"
        )
        spread.fill_between(
            epochs, quantiles["p10"], quantiles["p90"], color=SKY, alpha=0.6, linewidth=0, label="middle 80 %"
        )
        spread.plot(epochs, quantiles["median"], color=BLUE, label="median image")
        spread.axhline(1, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        spread.set(title="How often an image is drawn as partner", xlabel="epoch", ylabel="N · p(x); 1 is uniform")
        legend_below(spread)
        size.plot(epochs, quantiles["effective_size"], color=BLUE, marker="o", markersize=3)
        lowest = float(quantiles["effective_size"].min())
        size.set(title="Effective sample size", xlabel="epoch", ylabel="1 / Σ p² as a share of N; 1 is uniform")
        size.set_ylim(max(0.0, 1 - 1.3 * max(1 - lowest, 0.02)), 1.0 + 0.1 * max(1 - lowest, 0.02))
        for axes in (spread, size):
            mark_warmup(axes, evaluation.record.warmup_epochs, len(quantiles))
    return True


def mixtures(evaluation: Evaluation, path: Path) -> bool:
    """The losses of given positives (up) and negatives (down) by class, with both components and what is called clean.

    At most 12 classes, spread over the frequencies. False where no mixture was fitted.
    """
    fitted = evaluation.record.mixtures
    if fitted.empty:
        return False
    fitted = fitted[fitted["epoch"] == fitted["epoch"].max()].set_index(["class", "given"])
    by_frequency = np.argsort(-evaluation.train_positives, kind="stable")
    count = min(MOST_PANELS, len(by_frequency))
    shown = by_frequency[np.unique(np.linspace(0, len(by_frequency) - 1, count).round().astype(int))]
    columns = min(count, 5 if count in (5, 9, 10) else 4)
    rows = -(-count // columns)
    with figure(path, min(3.2 * columns, 12.5), 2.3 * rows + 0.7, evaluation.classes) as drawn:
        panels = drawn.subplots(rows, columns, sharex=True, squeeze=False)
        for axes, k in zip(panels.flat, shown, strict=False):
            name = evaluation.classes[k]
            axes.set_title(short(name, 24), fontsize=10)
            for given in (1, 0):
                _draw_mixture(axes, fitted.loc[(name, given)], given)
            axes.axhline(0, color=INK, linewidth=0.8)
            axes.set(xlim=(-6, 2), xticks=[-5, -3, -1, 1], yticks=[])
            axes.set_xticklabels(["10⁻⁵", "0.001", "0.1", "10"])
            axes.margins(y=0.12)
            axes.grid(visible=False)
        for axes in panels.flat[count:]:
            axes.set_visible(False)
        for column in range(columns):
            lowest = panels[(count - 1 - column) // columns, column]
            lowest.tick_params(labelbottom=True)
            lowest.set_xlabel("loss")
        for row in panels[:, 0]:
            row.set_ylabel("absent ↓   present ↑", fontsize=9)
        drawn.legend(handles=_mixture_legend(), loc="outside lower center", ncols=5, fontsize=9)
    return True


def _draw_mixture(axes: Axes, mixture: pd.Series, given: int) -> None:
    sign, colour = (1, BLUE) if given else (-1, GREY)
    counts = np.asarray(mixture["histogram"], dtype=float)
    density = counts / max(counts.sum(), 1) / np.diff(LOSS_EDGES)
    height = density.max() or 1.0
    axes.stairs(sign * density / height, LOSS_EDGES, fill=True, color=colour, alpha=0.45)
    if mixture["degenerate"]:
        axes.text(-5.8, sign * 0.5, f"{int(mixture['count'])} labels: no mixture, all clean", fontsize=8, va="center")
        return
    log_loss = np.linspace(-6, 2, 1601)
    log_components = _log_component_densities(mixture, 10**log_loss)
    # A narrow component may tower over the histogram; it is cut there, so that the histogram stays readable.
    for log_component, line in zip(log_components, (GREEN, RED), strict=True):
        in_log = np.exp(log_component) * 10**log_loss * np.log(10)
        axes.plot(log_loss, sign * np.minimum(in_log / height, 1.08), color=line, linewidth=1.3)
    low, high = (0, 1.12) if given else (-1.12, 0)
    axes.fill_between(
        log_loss, low, high, where=log_components[1] > log_components[0], color=AMBER, alpha=0.16, linewidth=0, zorder=0
    )


def _log_component_densities(mixture: pd.Series, loss: np.ndarray) -> np.ndarray:
    """Logarithm of both components' weighted density at each loss, (2, points): far tails compare without underflow."""
    variance, mean, weight = (
        np.array([mixture[f"{name}_{component}"] for component in (0, 1)])[:, None]
        for name in ("variance", "mean", "weight")
    )
    with np.errstate(divide="ignore"):
        return np.log(weight) - (loss - mean) ** 2 / (2 * variance) - 0.5 * np.log(2 * np.pi * variance)


def _mixture_legend() -> list:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Patch(color=BLUE, alpha=0.45, label="given present"),
        Patch(color=GREY, alpha=0.45, label="given absent"),
        Line2D([], [], color=GREEN, label="component of small losses"),
        Line2D([], [], color=RED, label="component of large losses"),
        Patch(color=AMBER, alpha=0.25, label="not clean: p_clean < 0.5"),
    ]
