"""A figure as panels: each is narrow enough for a phone, and the page and the PNG file arrange the same ones."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from bmix.figures.fonts import families
from bmix.figures.style import DPI, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 4.4, 3.5
"""Inches: on a phone text of 10 points is then as large as a caption."""
SMALL_WIDTH, SMALL_HEIGHT = 2.05, 1.85
Box = tuple[float, float, float, float]
"""Left, bottom, right and top, inches."""
SMALL_AXES: Box = (0.4, 0.3, 1.87, 1.58)


@dataclass(frozen=True)
class Panel:
    """What draws one pair of axes, and its size in inches.

    axes: where they lie; None: what is written around them decides, which takes longer. Where it is given the panel is
    one of many, which the page shows two abreast on a phone.
    """

    draw: Callable[[Axes], None]
    width: float = WIDTH
    height: float = HEIGHT
    axes: Box | None = None


@dataclass(frozen=True)
class Plot:
    """A figure: its panels, the numbers that they show, the class names in them, and a sentence for this run, if any.

    columns: how many panels stand side by side in the PNG file.
    """

    panels: Sequence[Panel]
    table: pd.DataFrame
    names: Sequence[str] = ()
    note: str = ""
    columns: int = 3
    key: Sequence[tuple[str, str, str]] = field(default=())
    """What the colours mean where the panels say it not themselves: name, colour, and `area` or `line`."""


class Drawn(NamedTuple):
    """A panel as the page shows it: the text of an SVG, its width in CSS pixels at its own size."""

    svg: str
    width: int
    small: bool


def render(plot: Plot, path: Path) -> list[Drawn]:
    """Write all panels into one PNG at `path`, and return each as SVG. Equal plots give equal bytes.

    The text of the SVGs stays text, in fonts that the reader's machine has.
    """
    drawn, pictures = [], []
    with _styled(plot.names):
        for panel in [*plot.panels, *_key_panel(plot)]:
            figure = _figure(panel)
            pictures.append(_picture(figure))
            # What was laid out for the picture holds for the SVG too.
            figure.set_layout_engine("none")
            file = io.StringIO()
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
            drawn.append(Drawn(file.getvalue(), round(96 * panel.width), panel.axes is not None))
    _save(pictures, plot.columns, path)
    return drawn


def render_sheet(panels: Sequence[Panel], names: Sequence[str], columns: int, path: Path) -> None:
    """Write all panels into one PNG at `path`. names: of classes in them."""
    with _styled(names):
        _save([_picture(_figure(panel)) for panel in panels], columns, path)


@contextmanager
def _styled(names: Sequence[str]) -> Iterator[None]:
    """Figures that are made in the block have the project's style, and fonts for the names."""
    import matplotlib as mpl

    known = families(names)
    fonts = {"font.family": [*known, "sans-serif"], "font.sans-serif": known}
    with mpl.rc_context(), warnings.catch_warnings():
        # `short` shows what no font can; what is left, such as a sign in a font of another weight, is a box.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        # A user's matplotlibrc must not change the bytes.
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE | fonts | {"svg.fonttype": "none", "svg.hashsalt": "bmix"})
        yield


def _figure(panel: Panel) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layout: Any = "none" if panel.axes else "constrained"
    figure = Figure(figsize=(panel.width, panel.height), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    if panel.axes is None:
        axes = figure.subplots()
    else:
        left, bottom, right, top = np.divide(panel.axes, [panel.width, panel.height] * 2)
        axes = figure.add_axes((left, bottom, right - left, top - bottom))
        axes.tick_params(labelsize=9, pad=2)
    panel.draw(axes)
    return figure


def _picture(figure: Figure) -> Image.Image:
    canvas: Any = figure.canvas
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def small_panel(draw: Callable[[Axes], None]) -> Panel:
    """One of many small panels."""
    return Panel(draw, SMALL_WIDTH, SMALL_HEIGHT, SMALL_AXES)


def _key_panel(plot: Plot) -> list[Panel]:
    """The legend of small panels, as a panel of its own."""
    if not plot.key:
        return []

    def draw(axes: Axes) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        handles: list[Any] = [
            Patch(color=colour, label=name) if kind == "area" else Line2D([], [], color=colour, linewidth=2, label=name)
            for name, colour, kind in plot.key
        ]
        axes.set_axis_off()
        axes.legend(handles=handles, loc="upper left", fontsize=9.5, borderaxespad=0)

    return [Panel(draw, WIDTH * 0.7, 0.12 + 0.2 * len(plot.key))]


def _save(pictures: Sequence[Image.Image], columns: int, path: Path) -> None:
    """Pictures in rows of so many, each row as high as its highest, on white."""
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [max(picture.height for picture in row) for row in rows]
    width = max(sum(picture.width for picture in row) for row in rows)
    sheet = Image.new("RGB", (width, sum(heights)), "white")
    for row, top in zip(rows, np.cumsum([0, *heights[:-1]]), strict=True):
        left = 0
        for picture in row:
            sheet.paste(picture, (left, int(top)))
            left += picture.width
    sheet.save(path, format="PNG")
