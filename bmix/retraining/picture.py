"""The nights as a picture: mAP of champion and candidates, class rates, estimated noise, on one axis of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bmix.figures.style import AMBER, BLUE, GREEN, GREY, INK, RED, figure, percent_ticks, short
from bmix.retraining.history import BY_DATA, BY_HAND, BY_MODEL, CANCELLED, DIED, FAILED, NOTHING_NEW, PROMOTED
from bmix.retraining.history import NightRecord as Night

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    PROMOTED: GREEN, NOTHING_NEW: GREY, BY_DATA: AMBER, BY_MODEL: RED, FAILED: INK, DIED: INK, CANCELLED: GREY,
    BY_HAND: BLUE,
}  # fmt: skip
_MARKS = {PROMOTED: "o", BY_DATA: "s", BY_MODEL: "v", FAILED: "x", DIED: "x", CANCELLED: "|", NOTHING_NEW: "."}
_SHOWN = 8
"""Classes whose rates are drawn: those that moved most."""


def draw_nights(nights: Sequence[Night], path: Path) -> None:
    """Three panels, a place per night in their order, named by the date and the time of its start."""
    classes = moved_most(nights)
    with figure(path, max(7.0, min(16.0, 2.5 + 0.42 * len(nights))), 9.4, classes) as drawn:
        results, scores, rates, noise = drawn.subplots(4, 1, sharex=True, height_ratios=[0.5, 1.5, 1.5, 1])
        _draw_results(results, nights)
        _draw_scores(scores, nights)
        _draw_rates(rates, nights, classes)
        _line(noise, nights, lambda night: night.wrong, RED, "estimated")
        noise.set_title("Given positives that are wrong, as the audit estimates")
        percent_ticks(noise.yaxis)
        noise.set_ylim(bottom=0)
        if not any(night.wrong is not None for night in nights):
            noise.text(0.5, 0.5, "nothing was audited", ha="center", color=GREY, transform=noise.transAxes)
        step = max(1, len(nights) // 20)
        noise.set_xticks(
            range(0, len(nights), step), [_when(night) for night in nights][::step], rotation=60, ha="right"
        )
        noise.set_xlim(-0.6, len(nights) - 0.4)


def moved_most(nights: Sequence[Night]) -> list[str]:
    """The classes whose rates differ most, as a factor, between the nights that looked at data."""
    rates: dict[str, list[float]] = {}
    for night in nights:
        for name, rate in night.rates.items():
            rates.setdefault(name, []).append(rate)

    def factor(name: str) -> float:
        low, high = min(rates[name]), max(rates[name])
        return high / low if low else float("inf") if high else 1.0

    return sorted(rates, key=lambda name: (-factor(name), name))[:_SHOWN]


def _draw_results(axes: Axes, nights: Sequence[Night]) -> None:
    for result in dict.fromkeys(night.result for night in nights):
        places = [place for place, night in enumerate(nights) if night.result == result]
        axes.scatter(places, [0] * len(places), s=70, marker=_MARKS.get(result, "D"), c=COLOURS[result], label=result)
    served = None
    for place, night in enumerate(nights):
        if night.version is not None and night.version != served:
            served = night.version
            axes.annotate(f"v{night.version}", (place, 0), (0, 9), textcoords="offset points", ha="center", fontsize=9)
    axes.set_ylim(-1, 1.6)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_title("Results, and the version that is served from then on")
    _legend_beside(axes, 1.6)


def _draw_scores(axes: Axes, nights: Sequence[Night]) -> None:
    _line(axes, nights, lambda night: night.candidate_map, BLUE, "candidate, all classes")
    _line(axes, nights, lambda night: night.champion_map, GREY, "champion, all classes")
    _line(axes, nights, lambda night: night.candidate_few, RED, "candidate, few-shot", "--")
    _line(axes, nights, lambda night: night.champion_few, AMBER, "champion, few-shot", "--")
    axes.set_title("mAP on the test split of the night")
    percent_ticks(axes.yaxis)
    _legend_beside(axes)


def _draw_rates(axes: Axes, nights: Sequence[Night], classes: list[str]) -> None:
    from matplotlib import colormaps

    def rate_of(name: str) -> Callable[[Night], float | None]:
        return lambda night: night.rates.get(name)

    for number, name in enumerate(classes):
        _line(axes, nights, rate_of(name), colormaps["tab10"](number), short(name))
    axes.set_title("Share of the training images with a class" + (", those that moved most" if classes else ""))
    percent_ticks(axes.yaxis)
    axes.set_ylim(bottom=0)
    _legend_beside(axes)


def _legend_beside(axes: Axes, height: float = 1.0) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, height), fontsize=9)


def _line(
    axes: Axes,
    nights: Sequence[Night],
    value_of: Callable[[Night], float | None],
    colour: object,
    label: str,
    style: str = "-",
) -> None:
    points = [(place, value) for place, night in enumerate(nights) if (value := value_of(night)) is not None]
    if points:
        places, values = zip(*points, strict=True)
        axes.plot(places, values, style, marker="o", markersize=4, color=colour, label=label, linewidth=1.4)


def _when(night: Night) -> str:
    return datetime.fromisoformat(night.night).strftime("%m-%d %H:%M")
