"""The images to look at: labels that are likely wrong, and labels that seem to be missing."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from PIL import Image

from bmix.data.decoding import UnusableImageError, decode
from bmix.evaluation.doubted import AUDIT, Doubts, doubted_labels
from bmix.evaluation.results import Evaluation
from bmix.figures.panels import Panel, render_sheet
from bmix.figures.style import GREEN, GREY, RED, short
from bmix.support.errors import InputError, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CARDS = 24
LISTED = 500
THUMBNAIL = 224
SHEET_COLUMNS = 6
NAMES = {1: "suspects", 0: "missing"}
TITLES = {
    1: (
        "Given labels that are most likely wrong",
        "The image is said to show the class, and that is doubted; start at the top left.",
    ),
    0: (
        "Labels that seem to be missing",
        "The class is likely there to be seen, and the image is not labelled with it; start at the top left.",
    ),
}


@dataclass(frozen=True)
class Gallery:
    """The doubted labels of one given value: all that are listed, and thumbnails of the first, by training row."""

    given: int
    judged_by: str
    table: pd.DataFrame
    thumbnails: dict[int, Image.Image]

    @property
    def name(self) -> str:
        """Of its files in plots/."""
        return NAMES[self.given]

    @property
    def cards(self) -> pd.DataFrame:
        """The labels that are shown with their image: an image once, under its most doubted label."""
        return self.table.drop_duplicates("row").head(CARDS)


def galleries(evaluation: Evaluation, doubts: Doubts, image_paths: Sequence[Path]) -> list[Gallery]:
    """Of the given positives, then of the negatives, where any are doubted.

    image_paths: the training images in the order of `evaluation.labels.ids`; empty where instances have no picture.
    Raises InputError for an image that cannot be read.
    """
    found = []
    for given in NAMES:
        table = doubted_labels(evaluation.labels, doubts, given, LISTED, evaluation.true)
        if not table.empty:
            rows: Iterable[int] = table.drop_duplicates("row").head(CARDS)["row"] if image_paths else []
            thumbnails = {row: _thumbnail(image_paths[row]) for row in rows}
            found.append(Gallery(given, doubts.judged_by, table, thumbnails))
    return found


def _thumbnail(path: Path) -> Image.Image:
    try:
        picture = decode(path, at_least=THUMBNAIL)
    except UnusableImageError as error:
        raise InputError(
            str(path), f"not readable as an image: {error}", "an image file", "replace the file, or drop its row"
        ) from error
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return picture


def gallery_table(gallery: Gallery, files: Sequence[str]) -> pd.DataFrame:
    """What plots/ holds of a gallery: `rank`, `id`, `file`, `class`, `others`, `suggestion`, `log_odds`, `true`."""
    table = gallery.table
    return pd.DataFrame(
        {
            "rank": range(1, len(table) + 1),
            "id": table["id"],
            "file": [files[row] for row in table["row"]] if files else "",
            "class": table["class"],
            "others": [";".join(names) for names in table["others"]],
            "suggestion": [suggestion(label) for label in table.to_dict("records")],
            "log_odds": table["log_odds"].round(6),
            "true": table["true"],
        }
    )


def suggestion(label: Mapping[Any, Any]) -> str:
    """What a label should be, in words."""
    if label["given"] == 0:
        return f"add {label['class']}"
    if label["suggested"] == 1:
        return f"unsure; perhaps {label['instead']}" if label["instead"] else "unsure"
    return f"not {label['class']}, but {label['instead']}" if label["instead"] else f"not {label['class']}"


def score(log_odds: float) -> str:
    """Log-odds as people read them: small ones to two decimals."""
    return f"{log_odds:.2f}" if abs(log_odds) < 100 else f"{log_odds:,.0f}"


def card(gallery: Gallery, label: Mapping[Any, Any], file: str) -> dict[str, Any]:
    """One label as the page shows it; plain text but for `image`, a data URL."""
    known = not pd.isna(label["true"])
    return {
        "image": _data_url(gallery.thumbnails[label["row"]]),
        "file": shortened(file or label["id"]),
        "class": shortened(label["class"]),
        "others": ", ".join(map(shortened, label["others"])) or "none",
        "suggestion": shortened(suggestion(label)),
        "score": score(label["log_odds"]),
        "wrong": bool(known and label["true"] != label["given"]),
        "known": known,
    }


def precision_at(gallery: Gallery, counts: Sequence[int] = (24, 100, 500)) -> list[tuple[int, float]]:
    """How many of the first so many labels are wrong, as a share; only where the truth is known and so many are listed.

    Where fewer than the smallest number are listed, of all that are.
    """
    table = gallery.table
    if table["true"].isna().any():
        return []
    wrong = (table["true"] != table["given"]).to_numpy(bool)
    reached = [count for count in counts if count <= len(wrong)] or [len(wrong)]
    return [(count, float(wrong[:count].mean())) for count in reached]


def draw_sheet(gallery: Gallery, evaluation: Evaluation, path: Path) -> None:
    """The cards as one PNG file."""
    cards = gallery.cards.to_dict("records")
    truth = evaluation.true is not None
    panels = [
        Panel(
            partial(_draw_card, gallery, label),
            1.95,
            2.75 if truth else 2.6,
            (0.08, 0.95 if truth else 0.8, 1.87, 2.7 if truth else 2.55),
        )
        for label in cards
    ]
    render_sheet(panels, evaluation.classes, min(SHEET_COLUMNS, len(cards)), path)


def _draw_card(gallery: Gallery, label: Mapping[Any, Any], axes: Axes) -> None:
    axes.imshow(gallery.thumbnails[label["row"]], aspect="equal")
    axes.set_anchor("S")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    first = f"given {short(label['class'])}" if label["given"] else f"lacks {short(label['class'])}"
    lines = [first, short(suggestion(label), 28), f"log-odds {score(label['log_odds'])}"]
    colour = GREY
    if not pd.isna(label["true"]):
        wrong = label["true"] != label["given"]
        lines.append("✓ wrong indeed" if wrong else "✗ it is right")
        colour = GREEN if wrong else RED
    axes.set_xlabel("\n".join(lines), fontsize=8.5, linespacing=1.35)
    axes.spines[:].set(visible=True, color=colour, linewidth=2.5)


def judge(gallery: Gallery) -> str:
    """What judged, in words."""
    if gallery.judged_by == AUDIT:
        return "the audit, which judges each label by models that never saw it"
    return "the verdicts of the network that was trained on them"


def _data_url(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=82, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
