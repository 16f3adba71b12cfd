"""A table as a picture, PNG and SVG: a panel per setting, a line per row; and the ranks of methods as polygons.

It stands here and not among bmix/figures, on which the stage evaluate depends: another look of a table must not make
every run evaluate anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bmix.ablation.measures import MEASURES
from bmix.ablation.published import DATA_NAMES, data_shown, published
from bmix.ablation.ranking import Ranking
from bmix.ablation.results import Results
from bmix.figures.style import BLUE, GREY, GROUP_COLOURS, INK, figure, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_COLOURS = {"all": INK, "error": INK, "macro-F1": BLUE, **GROUP_COLOURS}
_MARKS = {"all": "o", "error": "o", "macro-F1": "s", "many": "s", "medium": "^", "few": "v"}
_LONGEST = 32


@contextmanager
def picture(path: Path, width: float, height: float, names: list[str]) -> Iterator[Figure]:
    """A figure saved as `path` (PNG) and beside it as SVG; equal figures give equal bytes."""
    import matplotlib as mpl

    with figure(path, width, height, names) as drawn:
        mpl.rcParams.update({"svg.hashsalt": "bmix", "svg.fonttype": "path"})
        yield drawn
        drawn.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})


def draw_table(results: Results, path: Path) -> None:
    """Every mean with its standard error, rows from top to bottom; hollow diamonds: what was published.

    Groups that are measured differently, an error and F1, have panels of their own.
    """
    grid = results.grid
    rows, columns, blocks = [row.name for row in grid.rows], results.columns, _by_axis(grid.groups)
    wide = len(columns) if len(columns) <= 5 else 4
    deep = math.ceil(len(columns) / wide)
    height = (0.34 * len(rows) + 0.9) * deep * len(blocks) + 0.9
    with picture(path, 2.2 + 2.5 * wide, height, [*rows, *columns]) as drawn:
        panels = drawn.subplots(deep * len(blocks), wide, squeeze=False, sharey=True)
        panels[0, 0].set_yticks(range(len(rows)), [short(name, _LONGEST) for name in rows])
        panels[0, 0].set_ylim(len(rows) - 0.5, -0.5)
        legend = []
        for groups, block in zip(blocks, np.split(panels, len(blocks)), strict=True):
            legend += _draw_block(block.flatten(), results, groups)
            for axes in block.flatten()[: len(columns)][-wide:]:
                axes.set_xlabel(f"{MEASURES[groups[0]].axis}, %")
        drawn.suptitle(short(grid.title, 80), x=0.01, ha="left", fontsize=11, fontweight="bold")
        drawn.legend(handles=legend, loc="outside lower left", ncols=3, fontsize=9)


def _by_axis(groups: Sequence[str]) -> list[list[str]]:
    """The groups in their order, those together that share an axis."""
    blocks: dict[str, list[str]] = {}
    for group in groups:
        blocks.setdefault(MEASURES[group].axis, []).append(group)
    return list(blocks.values())


def _draw_block(panels: np.ndarray, results: Results, groups: list[str]) -> list[Line2D]:
    """Fill a panel per column, hide those left over; what the legend needs to say of them."""
    from matplotlib.lines import Line2D

    data = data_shown(results.grid, results.cells[0].params.data.source)
    columns = results.columns
    papers = [_draw_panel(axes, results, name, groups, data) for axes, name in zip(panels, columns, strict=False)]
    for axes in panels[len(columns) :]:
        axes.set_visible(False)
    handles = [
        Line2D([], [], linestyle="none", marker=_MARKS[group], color=_COLOURS[group], markersize=5, label=_label(group))
        for group in groups
    ]
    if data and any(papers):
        label = f"published, {_label(groups[0])}, {DATA_NAMES.get(data, data)}"
        looks: dict[str, Any] = {"marker": "D", "markerfacecolor": "none", "markeredgecolor": GREY, "markersize": 5}
        handles.append(Line2D([], [], linestyle="none", label=label, **looks))
    if len(results.grid.rows) > 1:
        label = f"first row, {_label(groups[0])}"
        handles.append(Line2D([], [], color=_COLOURS[groups[0]], linewidth=0.8, linestyle=(0, (4, 3)), label=label))
    return handles


def _draw_panel(axes: Axes, results: Results, column: str, groups: list[str], data: str | None) -> bool:
    """One column; whether a published figure stands in it."""
    found = False
    for number, group in enumerate(groups):
        shift = 0.16 * (number - (len(groups) - 1) / 2)
        for y, row in enumerate(results.grid.rows):
            mean = results.mean(row.name, column, group)
            if mean is not None:
                axes.errorbar(
                    mean.mean, y + shift, xerr=mean.error, fmt=_MARKS[group], color=_COLOURS[group], markersize=4.5,
                    elinewidth=1.2, capsize=2,
                )  # fmt: skip
            paper = published(results.grid, data, row.name, column, group) if data else None
            if paper is not None and group == groups[0]:
                axes.plot(paper, y + shift, "D", markersize=5, markerfacecolor="none", markeredgecolor=GREY)
                found = True
    first = results.mean(results.first_row(column), column, groups[0])
    if first is not None and len(results.grid.rows) > 1:
        axes.axvline(first.mean, color=_COLOURS[groups[0]], linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.set_title(short(column, 24), fontsize=10)
    axes.margins(x=0.12)
    return found


def _label(group: str) -> str:
    """What the legend calls it."""
    return MEASURES[group].words.removeprefix("mAP, ")


def draw_ranks(ranking: Ranking, path: Path) -> None:
    """A polygon per method, a ray per view; the centre is better than rank 1, the rim is the last rank."""
    worst, views = len(ranking.methods), ranking.views
    angles = [2 * math.pi * number / len(views) for number in range(len(views))]
    wide = min(len(ranking.methods), 4)
    deep = math.ceil(len(ranking.methods) / wide)
    with picture(path, 2.7 * wide, 2.9 * deep + 0.3, ranking.methods) as drawn:
        panels = drawn.subplots(deep, wide, squeeze=False, subplot_kw={"projection": "polar"}).flatten()
        for axes, method in zip(panels, ranking.methods, strict=False):
            radii = [ranking.ranks[view][method] for view in views]
            axes.plot([*angles, angles[0]], [*radii, radii[0]], color=BLUE, linewidth=1.6)
            axes.fill(angles, radii, color=BLUE, alpha=0.18)
            axes.set_theta_offset(math.pi / 2)
            axes.set_xticks(angles, views, fontsize=8)
            axes.tick_params(axis="x", pad=4)
            axes.set_yticks(range(1, worst + 1), [])
            axes.set_ylim(0, worst)
            axes.spines["polar"].set_visible(False)
            axes.set_title(f"{short(method, 20)}\narea {ranking.area(method):.2f}", fontsize=10, loc="center")
        for axes in panels[len(ranking.methods) :]:
            axes.set_visible(False)
