"""The picture of a data set: how often each class is present."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bmix.figures.style import GROUP_COLOURS, SKY, figure, short

NAMED = 100
"""With more classes than this the axis numbers them by rank, since their names would not be readable."""


def class_frequencies(facts: dict[str, Any], path: Path) -> None:
    """Training positives per class, most frequent first, on a log scale, coloured by group; PNG at `path`.

    facts: as `bmix.sources.facts.facts` gives them. A class without a training positive has no bar.
    """
    ranked = sorted(facts["classes"].items(), key=lambda item: -item[1]["positives"]["train"])
    counts = [own["positives"]["train"] for _, own in ranked]
    least = min((count for count in counts if count), default=1)
    named = len(ranked) <= NAMED
    shown = facts["classes"] if named else ()
    with figure(path, max(6.0, min(16.0, 2 + 0.2 * len(ranked))), 4.2, shown) as drawn:
        axes = drawn.subplots()
        colours = [GROUP_COLOURS.get(own["group"], SKY) for _, own in ranked]
        axes.bar(range(len(ranked)), counts, color=colours, width=0.8 if named else 1.0)
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.6 * least)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.yaxis.set_minor_formatter(lambda _value, _: "")
        axes.margins(x=0.01)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel("training positives (log scale)")
        ratio = facts["imbalance_ratio"]
        told = "" if ratio is None else f", most over least frequent {ratio:.1f}"
        axes.set_title(f"{len(ranked)} classes, {facts['images']['train']:,} training images{told}")
        if named:
            axes.set_xticks(range(len(ranked)), [short(name) for name, _ in ranked], rotation=90)
        else:
            axes.set_xlabel("class, by rank")
        present = [group for group in GROUP_COLOURS if facts["groups"][group]]
        handles = [axes.bar([0], [0], color=GROUP_COLOURS[group]) for group in present]
        axes.legend(handles, [f"{group}-shot ({len(facts['groups'][group])})" for group in present], loc="upper right")
