"""How every figure looks, and how it becomes a file whose bytes do not vary."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bmix.figures.fonts import drawable, families

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLUE, SKY, GREEN, AMBER, RED, INK, GREY = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#222222", "#8A8F94"
GROUP_COLOURS = {"many": BLUE, "medium": AMBER, "few": RED}
VERDICT_COLOURS = {"clean": "#D5DBE0", "relabelled": GREEN, "ambiguous": AMBER}
OUTCOME_COLOURS = (GREEN, AMBER, RED)
DPI = 110

STYLE: Any = {
    "font.size": 10,
    "text.color": INK,
    # Class names are shown as they are, whatever signs they hold.
    "text.parse_math": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9AA0A6",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E8EA",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextmanager
def figure(path: Path, width: float, height: float, names: Iterable[str] = ()) -> Iterator[Figure]:
    """A new figure in the project's style (inches); saved as PNG at `path` when the block ends without an error.

    names: of classes that it shows, for which fonts are looked for.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(), warnings.catch_warnings():
        # `short` shows what no font can; what is left, such as a sign in a font of another weight, is a box.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        # A user's matplotlibrc must not change the bytes.
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE | {"font.family": families(names)})
        drawn = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(drawn)
        yield drawn
        drawn.savefig(path, dpi=DPI, metadata={"Software": None})


def short(name: str, limit: int = 18) -> str:
    """A class name on one line, as the fonts here can show it, cut with an ellipsis beyond `limit` characters."""
    line = drawable(" ".join(name.split())[: limit + 1])
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def mark_warmup(axes: Axes, warmup_epochs: int, epochs: int, label: bool = False) -> None:
    """Shade the warm-up, and where `label`, say so inside the axes."""
    axes.set_xlim(0.5, epochs + 0.5)
    axes.locator_params(axis="x", integer=True)
    if 0 < warmup_epochs < epochs:
        axes.axvspan(0.5, warmup_epochs + 0.5, color="#EEF1F4", zorder=0, linewidth=0)
        axes.axvline(warmup_epochs + 0.5, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        if label:
            axes.text(
                warmup_epochs + 0.5, 0.98, "end of warm-up ", color="#5F666C", fontsize=9, ha="right", va="top",
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip


def plain_log_ticks(axis: Axis) -> None:
    """Ticks at 1, 2 and 5 of every decade, so that a short log axis has some, written as plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=15))
    axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axis.set_minor_formatter(NullFormatter())


def legend_below(axes: Axes, handles: list | None = None, columns: int = 2) -> None:
    """A legend under the axes, where it covers nothing; for figures with a constrained layout."""
    handles = axes.get_legend_handles_labels()[0] if handles is None else handles
    drawn: Any = axes.figure
    drawn.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=9, columnspacing=1.4)


def percent_ticks(axis: Axis) -> None:
    """Shares on the axis, written in percent."""
    axis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")


def place_names(axes: Axes, points: np.ndarray, names: list[str], others: np.ndarray) -> None:
    """Write names beside their points (P, 2) where there is room, the first ones first.

    A name that would cover another name, a point, or one of the `others` (Q, 2) is left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    canvas = axes.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    renderer = canvas.get_renderer()
    pixels = axes.transData.transform(np.concatenate([points, others]))
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in pixels]
    inside = axes.get_window_extent(renderer)
    places = [
        (7, 0, "left", "center"),
        (-7, 0, "right", "center"),
        (0, 7, "center", "bottom"),
        (0, -7, "center", "top"),
    ]
    for position, name in enumerate(names):
        obstacles = taken[:position] + taken[position + 1 :]
        for x, y, horizontal, vertical in places:
            text = axes.annotate(
                name, points[position], xytext=(x, y), textcoords="offset points",
                ha=horizontal, va=vertical, fontsize=9,
            )  # fmt: skip
            box = text.get_window_extent(renderer)
            if inside.x0 <= box.x0 and box.x1 <= inside.x1 and not box.count_overlaps(obstacles):
                taken.append(box)
                break
            text.remove()
