"""report.html: one page for people, with every figure inside it and nothing from outside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bmix.evaluation.looking import Worth
from bmix.evaluation.results import Evaluation
from bmix.figures.gallery import TITLES, Gallery, card, judge, precision_at, score, suggestion
from bmix.figures.opening import Opening
from bmix.figures.panels import WIDTH, Drawn
from bmix.figures.plots import Drawings, Shown
from bmix.figures.tables import (
    TEMPLATES,
    Table,
    class_rows,
    means,
    noise_tables,
    percent,
    rule,
    top1_table,
    verdict_table,
)
from bmix.figures.worth import estimate_section, review_section
from bmix.support.errors import shortened

MOST_LISTED = 100

# Title and reading sentence of each figure, in the order of the page.
FIGURE_TEXTS = {
    "found": (
        "What the order is worth",
        "The steeper the blue line starts, the fewer labels have to be looked at; dashed is the best possible order.",
    ),
    "transition": (
        "What became of the labels",
        "Each bar is one kind of label; green ends right, amber keeps its value with less weight, red ends wrong.",
    ),
    "moves": (
        "Which class was given for which",
        "A dark cell is a pair of classes that is often confused: the row is truly there, the column was given.",
    ),
    "verdict_shares": (
        "Labels that are not clean, epoch by epoch",
        "The coloured areas should come near the dotted line where the truth is known, and settle towards the end.",
    ),
    "pretraining": (
        "Pre-training without labels",
        "What the backbone learnt from images alone, before warm-up; an accuracy of 25 % is chance, a spread near 0 is "
        "a failure.",
    ),
    "pseudo_labels": (
        "Pseudo-labels",
        "What the warmed-up model said of the unlabelled images, class by class; a class without a bar learns nothing "
        "new from them.",
    ),
    "learning_curves": (
        "Learning curves",
        "Where the loss of the given labels stays high while the training loss falls, wrong labels are not learnt by "
        "heart; a falling mAP on val says that they are.",
    ),
    "class_frequencies": (
        "How often each class occurs",
        "Bars are the true labels, cut into groups at the dashed lines; black marks show what the given labels claim.",
    ),
    "ap_by_class": (
        "Average precision against frequency",
        "Rare classes stand on the left; points low on the left are what imbalance costs.",
    ),
    "pr_curves": (
        "Precision and recall of each class",
        "Upwards is precision, to the right recall, both in percent; the nearer a curve comes to the upper right, the "
        "better, and above the grey line a class is better than the mean of its group.",
    ),
    "reliability": (
        "What the probabilities are worth",
        "On the dashed line of the first picture what is given 70 % is there 7 times in 10; classes below the line of "
        "the second gain.",
    ),
    "mixtures": (
        "Losses of each class, and their two components",
        "Two humps apart mean that clean and wrong labels can be told apart; the shaded losses are not clean.",
    ),
    "sampler": (
        "The minority sampler",
        "The wider the band, the more often images with badly learned labels are drawn as partners.",
    ),
    "prototypes": (
        "The prototypes of the classes",
        "Classes whose prototypes are near each other, dark in the grid, share their features: what shows one is held "
        "for the other too.",
    ),
}
LABEL_FIGURES = ("found", "transition", "moves", "verdict_shares")


class Figure(NamedTuple):
    """A figure as the template shows it. layout: one, several or small."""

    title: str
    aid: str
    note: str
    layout: str
    panels: Sequence[dict[str, Any]]


def render_report(
    evaluation: Evaluation,
    opening: Opening,
    drawings: Drawings,
    warnings: Sequence[str] = (),
    worth: Worth | None = None,
    review: Mapping[str, Any] | None = None,
) -> str:
    """The whole page as HTML. drawings: as `write_plots` returned them.

    warnings: what a person should know before they believe it, shown first. worth: what the audit expects of the given
    labels, None if nothing was audited. review: what a review changed in them (see `Origin`), None if there was none.

    Equal results and figures give an equal page: it holds no date and no path. All text from the data is escaped, and
    a policy in the page forbids whatever it does not hold itself.
    """
    shown = {name: _figure(name, drawings.figures[name]) for name in FIGURE_TEXTS if name in drawings.figures}
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    page = _templates().get_template("report.html.j2")
    return page.render(
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        opening=opening,
        warnings=warnings,
        means=means(evaluation),
        top1=top1_table(evaluation),
        managed=evaluation.record.managed,
        rule=rule(evaluation),
        noise=None if evaluation.noise is None else noise_tables(evaluation.noise),
        verdicts=verdict_table(evaluation),
        estimate=estimate_section(evaluation, worth),
        review=review_section(review),
        label_figures=[figure for name, figure in shown.items() if name in LABEL_FIGURES],
        figures=[figure for name, figure in shown.items() if name not in LABEL_FIGURES],
        galleries=[_gallery(gallery, drawings.files) for gallery in drawings.galleries],
        class_rows=class_rows(evaluation),
    )


def _templates() -> Environment:
    """Everything that a template shows is escaped."""
    loader = FileSystemLoader(TEMPLATES)
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )


def _figure(name: str, shown: Shown) -> Figure:
    title, aid = FIGURE_TEXTS[name]
    small = any(panel.small for panel in shown.panels)
    layout = "small" if small else "one" if len(shown.panels) == 1 else "several"
    return Figure(title, aid, shown.note, layout, [_panel(panel) for panel in shown.panels])


def _panel(panel: Drawn) -> dict[str, Any]:
    """wide: the least width at which its text is legible, if a phone is narrower."""
    wide = round(0.8 * panel.width) if panel.width > 96 * WIDTH else 0
    address = f"data:image/svg+xml;base64,{base64.b64encode(panel.svg.encode()).decode()}"
    return {"address": address, "width": panel.width, "small": panel.small, "wide": wide}


def _gallery(gallery: Gallery, files: Sequence[str]) -> dict[str, Any]:
    title, aid = TITLES[gallery.given]
    cards = gallery.cards.to_dict("records") if gallery.thumbnails else []
    return {
        "given": gallery.given,
        "title": title,
        "aid": aid,
        "judge": judge(gallery),
        "precision": [(f"{count:,}", percent(share)) for count, share in precision_at(gallery)],
        "cards": [card(gallery, label, files[label["row"]] if files else "") for label in cards],
        "count": min(len(gallery.table), MOST_LISTED),
        "table": _label_table(gallery, files),
        "name": gallery.name,
    }


def _label_table(gallery: Gallery, files: Sequence[str]) -> Table:
    known = not gallery.table["true"].isna().any()
    headings = ["rank", "file", "class", "other given labels", "suggestion", "log-odds", *(["truth"] if known else [])]
    rows = [
        [
            str(rank),
            shortened(files[label["row"]] if files else label["id"]),
            shortened(label["class"]),
            shortened(", ".join(label["others"])) or "–",
            shortened(suggestion(label)),
            score(label["log_odds"]),
            *([("absent", "present")[label["true"]]] if known else []),
        ]
        for rank, label in enumerate(gallery.table.head(MOST_LISTED).to_dict("records"), start=1)
    ]
    return Table(headings, rows)
