"""Figures of how the training went: learning curves, verdicts, the sampler, the loss mixtures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bmix.evaluation.cautions import learnt_by_heart
from bmix.evaluation.results import Evaluation
from bmix.figures.panels import Panel, Plot, small_panel
from bmix.figures.per_class import some_of, spread
from bmix.figures.style import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    INK,
    RED,
    SKY,
    VERDICT_COLOURS,
    legend_below,
    mark_warmup,
    percent_ticks,
    short,
)
from bmix.support.errors import quoted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PANELS = 24
# mixtures.parquet's histograms: 60 bins equally spaced in log10 from 1e-6 to 1e2.
LOSS_EDGES = np.linspace(-6, 2, 61)
_SHARES = [f"{verdict}{of}" for of in ("", "_positives") for verdict in VERDICT_COLOURS]


def learning_curves(evaluation: Evaluation) -> Plot:
    """Loss per epoch in training and on the given labels, and mAP on val where there is one."""
    history = evaluation.record.history
    panels = [Panel(partial(_draw_losses, evaluation))]
    if history["val_map"].notna().any():
        panels.insert(0, Panel(partial(_draw_validation, evaluation)))
    table = history[["epoch", "phase", "learning_rate", "train_loss", "given_loss", "val_map"]]
    return Plot(panels, table, note=learnt_by_heart(history))


def _draw_validation(evaluation: Evaluation, axes: Axes) -> None:
    history = evaluation.record.history
    top = min(1.0, float(history["val_map"].max()) * 1.15) or 1.0
    axes.plot(history["epoch"], history["val_map"], color=GREEN, marker="o", markersize=3)
    axes.set(title="Mean average precision on val", xlabel="epoch", ylim=(0, top))
    percent_ticks(axes.yaxis)
    mark_warmup(axes, evaluation.record.warmup_epochs, len(history), label=True)


def _draw_losses(evaluation: Evaluation, axes: Axes) -> None:
    history = evaluation.record.history
    axes.plot(history["epoch"], history["train_loss"], color=BLUE, marker="o", markersize=3, label="training")
    axes.set(title="Loss", xlabel="epoch", ylabel="training loss, summed over classes")
    drawn_axes = [axes]
    # A recipe that learns nothing from the given labels' losses does not compute them.
    if history["given_loss"].notna().any():
        # The two losses differ in scale by the number of classes.
        given = axes.twinx()
        given.plot(history["epoch"], history["given_loss"], color=RED, marker="s", markersize=3, label="given labels")
        given.set_ylabel("BCE of a given label, mean")
        given.grid(visible=False)
        given.spines["right"].set_visible(True)
        drawn_axes.append(given)
    for one in drawn_axes:
        one.set_ylim(bottom=0)
        one.yaxis.label.set_color(one.get_lines()[0].get_color())
    mark_warmup(axes, evaluation.record.warmup_epochs, len(history))
    legend_below(axes, [one.get_lines()[0] for one in drawn_axes])


def verdict_shares_by_epoch(evaluation: Evaluation) -> Plot | None:
    """Shares of labels that are not clean, over the epochs; None where labels are not managed."""
    history = evaluation.record.history
    if not history["clean"].notna().any():
        return None
    panels = [
        Panel(partial(_draw_verdicts, evaluation, "_positives", "Given positives that are not clean")),
        Panel(partial(_draw_verdicts, evaluation, "", "All labels that are not clean")),
    ]
    return Plot(panels, history[["epoch", "phase", *_SHARES]])


def _draw_verdicts(evaluation: Evaluation, suffix: str, title: str, axes: Axes) -> None:
    history = evaluation.record.history
    managed = history[history[f"clean{suffix}"].notna()]
    axes.stackplot(
        managed["epoch"], managed[f"ambiguous{suffix}"], managed[f"relabelled{suffix}"],
        labels=["ambiguous", "re-labelled"],
        colors=[VERDICT_COLOURS["ambiguous"], VERDICT_COLOURS["relabelled"]], alpha=0.9, linewidth=0,
    )  # fmt: skip
    top = float((1 - managed[f"clean{suffix}"]).max())
    wrong = _wrong_share(evaluation, positives=bool(suffix))
    if wrong is not None:
        axes.axhline(wrong, color=INK, linewidth=1.3, linestyle=(0, (2, 2)), label="truly wrong")
        top = max(top, wrong)
    axes.set(title=title, xlabel="epoch", ylabel="share of the labels")
    axes.set_ylim(0, min(1, 1.25 * top) or 1)
    percent_ticks(axes.yaxis)
    mark_warmup(axes, evaluation.record.warmup_epochs, len(history), label=True)
    legend_below(axes, columns=3)


def _wrong_share(evaluation: Evaluation, positives: bool) -> float | None:
    if evaluation.true is None:
        return None
    wrong_NK = evaluation.true != evaluation.labels.given_NK
    return float(wrong_NK[evaluation.labels.given_NK].mean() if positives else wrong_NK.mean())


def sampler(evaluation: Evaluation) -> Plot:
    """Quantiles of N·p(x) over the epochs, and the effective sample size."""
    panels = [Panel(partial(_draw_spread, evaluation)), Panel(partial(_draw_effective_size, evaluation))]
    return Plot(panels, evaluation.record.sampler)


def _draw_spread(evaluation: Evaluation, axes: Axes) -> None:
    quantiles = evaluation.record.sampler
    epochs = quantiles["epoch"]
    axes.fill_between(
        epochs, quantiles["minimum"], quantiles["maximum"], color=SKY, alpha=0.25, linewidth=0, label="all images"
    )
    axes.fill_between(
        epochs, quantiles["p10"], quantiles["p90"], color=SKY, alpha=0.6, linewidth=0, label="middle 80 %"
    )
    axes.plot(epochs, quantiles["median"], color=BLUE, label="median image")
    axes.axhline(1, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    axes.set(title="How often an image is drawn as partner", xlabel="epoch")
    axes.yaxis.set_major_formatter(lambda times, _: f"{times:.3g} ×")
    mark_warmup(axes, evaluation.record.warmup_epochs, len(quantiles))
    legend_below(axes, columns=3)


def _draw_effective_size(evaluation: Evaluation, axes: Axes) -> None:
    quantiles = evaluation.record.sampler
    axes.plot(quantiles["epoch"], quantiles["effective_size"], color=BLUE, marker="o", markersize=3)
    below = max(1 - float(quantiles["effective_size"].min()), 0.02)
    axes.set(title="Images in effect, 1 / Σ p²", xlabel="epoch", ylabel="share of all training images")
    axes.set_ylim(max(0.0, 1 - 1.3 * below), 1.0 + 0.1 * below)
    percent_ticks(axes.yaxis)
    mark_warmup(axes, evaluation.record.warmup_epochs, len(quantiles))


def mixtures(evaluation: Evaluation) -> Plot | None:
    """The losses of given positives (up) and negatives (down) by class, with both components and what is called clean.

    At most MOST_PANELS classes, spread over the frequencies. None where no mixture was fitted.
    """
    fitted = evaluation.record.mixtures
    if fitted.empty:
        return None
    last = fitted[fitted["epoch"] == fitted["epoch"].max()]
    by_class = last.set_index(["class", "given"])
    shown = spread(np.argsort(-evaluation.train_positives, kind="stable"), MOST_PANELS)
    names = [evaluation.classes[k] for k in shown]
    panels = [small_panel(partial(_draw_mixtures, name, by_class)) for name in names]
    degenerate = last["class"][last["degenerate"]].drop_duplicates().tolist()
    flagged = "" if not degenerate else (
        f"⚠ Of {len(degenerate)} of {len(evaluation.classes)} classes one mixture at least is degenerate (too few "
        f"labels, or losses that are all alike), so that all these labels count as clean: {quoted(degenerate)}."
    )  # fmt: skip
    notes = [some_of(len(shown), len(evaluation.classes)), flagged]
    note = " ".join(sentence for sentence in notes if sentence)
    return Plot(panels, _loss_table(last), names, note=note, columns=4, key=MIXTURE_KEY)


def _loss_table(mixtures: pd.DataFrame) -> pd.DataFrame:
    """How many labels of a class and given value have a loss in a bin; bins without a label are left out."""
    bins = len(LOSS_EDGES) - 1
    parts = [np.asarray(histogram, dtype=np.int64) for histogram in mixtures["histogram"]]
    table = pd.DataFrame(
        {
            **{name: mixtures[name].repeat(bins).to_numpy() for name in ("class", "given", "degenerate")},
            "loss_from": np.tile(10 ** LOSS_EDGES[:-1], len(mixtures)).round(8),
            "loss_to": np.tile(10 ** LOSS_EDGES[1:], len(mixtures)).round(8),
            "labels": np.concatenate(parts),
        }
    )
    return table[table["labels"] > 0].reset_index(drop=True)


def _draw_mixtures(name: str, by_class: pd.DataFrame, axes: Axes) -> None:
    both: list[Any] = [by_class.loc[(name, given)] for given in (1, 0)]
    flag = " ⚠" * any(bool(mixture["degenerate"]) for mixture in both)
    axes.set_title(f"{short(name, 15)}{flag}", fontsize=9.5)
    for given, mixture in zip((1, 0), both, strict=True):
        _draw_mixture(axes, mixture, given)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xlim=(-6, 2), xticks=[-5, -3, -1, 1], yticks=[-0.5, 0.5])
    axes.set_xticklabels(["10⁻⁵", "0.001", "0.1", "10"])
    axes.set_yticklabels(["absent", "present"], rotation=90, va="center")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-1.25, 1.25)
    axes.grid(visible=False)


def _draw_mixture(axes: Axes, mixture: pd.Series, given: int) -> None:
    sign, colour = (1, BLUE) if given else (-1, GREY)
    counts = np.asarray(mixture["histogram"], dtype=float)
    density = counts / max(counts.sum(), 1) / np.diff(LOSS_EDGES)
    height = density.max() or 1.0
    axes.stairs(sign * density / height, LOSS_EDGES, fill=True, color=colour, alpha=0.45)
    if mixture["degenerate"]:
        axes.text(
            -5.8, sign * 1.1, f"no mixture of {int(mixture['count'])} labels", fontsize=8.5, color=RED, va="center"
        )
        return
    log_loss = np.linspace(-6, 2, 801)
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


MIXTURE_KEY = [
    ("losses of labels given as present", "#9BBFD9", "area"),
    ("losses of labels given as absent", "#C9CCCF", "area"),
    ("component of small losses", GREEN, "line"),
    ("component of large losses", RED, "line"),
    ("not clean: p_clean below 50 %", "#FBEBCF", "area"),
]
