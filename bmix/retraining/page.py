"""The page of all nights: one HTML file with the picture in it, and a table with what every night decided."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bmix.retraining.history import LINES, RESULTS, NightRecord, read_nights
from bmix.retraining.picture import COLOURS, draw_nights
from bmix.support.errors import InputError
from bmix.support.files import write_text


def write_page(path: Path) -> int:
    """Write the page to `path`; the number of nights. InputError if there is no history yet."""
    nights = read_nights()
    if not nights:
        remedy = "let a night run: python -m flows.retrain --once"
        raise InputError(str(LINES), "holds no night", "a line per night of retraining", remedy)
    write_text(path, page(nights))
    return len(nights)


def page(nights: list[NightRecord]) -> str:
    """The nights as one HTML page without outside resources, the last one first; text of the data is escaped."""
    with tempfile.TemporaryDirectory(prefix="bmix-nights-") as folder:
        picture = Path(folder) / "nights.png"
        draw_nights(nights, picture)
        drawn = base64.b64encode(picture.read_bytes()).decode()
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    counts = {result: sum(night.result == result for night in nights) for result in RESULTS}
    return templates.get_template("nights.html.j2").render(
        nights=list(reversed(nights)),
        counts={result: count for result, count in counts.items() if count},
        colours=COLOURS,
        picture=drawn,
        percent=lambda share: "–" if share is None else f"{100 * share:.1f}",
    )
