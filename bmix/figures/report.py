"""report.html: one page for people, with every figure inside it and nothing from outside."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from bmix.evaluation.results import Evaluation, class_table
from bmix.evaluation.verdicts import VERDICTS, suspects, verdict_shares
from bmix.figures.report_style import CSS
from bmix.support.errors import shortened

MOST_SUSPECTS = 100
AMONG_NAMES = {"all": "all labels", "positives": "given positives", "negatives": "given negatives"}

# Title and reading aid of each figure, in the order of the page.
FIGURE_TEXTS = {
    "suspects": (
        "The images to look at",
        "Each image carries the caption of its most doubted label; start checking at the top left.",
    ),
    "transition": (
        "What became of the labels",
        "Each bar is one kind of label; green ends right, amber keeps its value with less weight, red ends wrong.",
    ),
    "verdict_shares": (
        "Labels that are not clean, epoch by epoch",
        "The coloured areas should come near the dotted line where the truth is known, and settle towards the end.",
    ),
    "learning_curves": (
        "Learning curves",
        "Where the given loss stays high while the training loss falls, wrong labels are not learned by heart.",
    ),
    "class_frequencies": (
        "How often each class occurs",
        "The groups many, medium and few are cut at the dashed lines; black marks show what the given labels claim.",
    ),
    "ap_by_class": (
        "Average precision against frequency",
        "Rare classes stand on the left; points low on the left are what imbalance costs.",
    ),
    "pr_curves": (
        "Precision and recall",
        "The nearer a curve comes to the upper right, the better; the thick line is the mean of the group.",
    ),
    "mixtures": (
        "Losses and their two components",
        "Two humps apart mean that clean and wrong labels can be told apart; the shaded losses are not clean.",
    ),
    "sampler": (
        "The minority sampler",
        "The wider the band, the more often images with badly learned labels are drawn as partners.",
    ),
}
LABEL_FIGURES = ("suspects", "transition", "verdict_shares")


def render_report(evaluation: Evaluation, plots: Path, names: Sequence[str]) -> str:
    """The whole page as HTML. `names`: the PNG files in the folder `plots` to show, as `write_plots` returned them.

    Equal results and figures give an equal page: it holds no date and no path. All text from the data is escaped.
    """
    figures = {name: _figure(name, plots) for name in FIGURE_TEXTS if name in names}
    parts = [
        "<h1>What this run found</h1>",
        f"<p>{_scope(evaluation)}</p>",
        "<h2>Mean average precision</h2>",
        _means(evaluation),
        "<h2>What the verdicts found</h2>",
        _findings(evaluation),
        *(figures[name] for name in LABEL_FIGURES if name in figures),
        *_suspect_tables(evaluation),
        "<h2>Classes and training</h2>",
        *(html for name, html in figures.items() if name not in LABEL_FIGURES),
        "<h2>Every class</h2>",
        "<p>Positives in training, true and given; AP per split; the verdicts on the given positives.</p>",
        _class_rows(evaluation),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>bmix report</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def _scope(evaluation: Evaluation) -> str:
    labels = evaluation.labels
    images, classes = labels.given_NK.shape
    return (
        f"Trained for {len(evaluation.record.history)} epochs on {images:,} images with {classes} classes and "
        f"{int(labels.given_NK.sum()):,} given positives. All results are those of the last epoch."
    )


def _means(evaluation: Evaluation) -> str:
    many, medium = evaluation.thresholds
    headings = ["split", "all", f"many (≥ {many:,})", f"medium (≥ {medium:,})", f"few (&lt; {medium:,})"]
    rows, left_out = [], []
    for split in evaluation.ap:
        means = evaluation.means(split)
        cells = [_percent(means[group]) for group in ("all", "many", "medium", "few")]
        counts = [means["classes"][group] for group in ("all", "many", "medium", "few")]
        rows.append([escape(split), *(f"{cell} <small>of {n}</small>" for cell, n in zip(cells, counts, strict=True))])
        if means["left_out"]:
            left_out.append(f"{means['left_out']} without a positive in {escape(split)}")
    note = f"<p>Classes left out: {'; '.join(left_out)}.</p>" if left_out else ""
    return (
        _table(headings, rows, "headline")
        + "<p>In percent, with the number of classes; groups by training positives.</p>"
        + note
    )


def _findings(evaluation: Evaluation) -> str:
    if not evaluation.record.managed:
        return "<p>This recipe manages no labels: every given label was taken as clean.</p>"
    if evaluation.noise is None:
        return (
            "<p>The truth of the training labels is unknown, so only the verdicts themselves can be told.</p>"
            + _verdict_table(evaluation)
        )
    detection = evaluation.noise.detection.query("criterion == 'called wrong'")
    found = [
        [AMONG_NAMES[r["among"]], *(f"{r[c]:,}" for c in ("labels", "wrong", "called", "found"))]
        + [_percent(r[c]) for c in ("precision", "recall", "f1")]
        for r in detection.to_dict("records")
    ]
    mended = [
        [AMONG_NAMES[r["among"]], f"{r['repaired']:,}", _percent(r["repaired_share"]), f"{r['broken']:,}"]
        + [_percent(r[c], 2) for c in ("broken_share", "wrong_before", "wrong_after")]
        for r in evaluation.noise.repair.to_dict("records")
    ]
    ranking = evaluation.noise.ranking
    return (
        f"<p>{_rule(evaluation)} "
        "It is <em>called wrong</em> when it is ambiguous or was re-labelled to the other value. "
        "Precision: how many of the labels called wrong are; recall: how many of the wrong labels are called so.</p>"
        + _table(["", "labels", "wrong", "called wrong", "found", "precision %", "recall %", "F1 %"], found)
        + _table(
            ["", "repaired", "of the wrong %", "broken", "of the right %", "wrong before %", "wrong after %"], mended
        )
        + "<p>Ranked by 1 − p_clean, wrong given positives come before right ones with average precision "
        + f"{_percent(ranking['average_precision'])} % and ROC AUC {_percent(ranking['roc_auc'])} %.</p>"
        + _verdict_table(evaluation)
    )


def _rule(evaluation: Evaluation) -> str:
    if evaluation.record.mixtures.empty:
        return (
            "The recipe doubts labels by a rule of its own. "
            "One that is not clean was re-labelled to the other value, or is ambiguous and was left out."
        )
    return (
        "A label that is not clean was re-labelled where the model was sure "
        f"(ε = {evaluation.record.epsilon:g}), and is ambiguous otherwise."
    )


def _verdict_table(evaluation: Evaluation) -> str:
    shares = verdict_shares(evaluation.labels).fillna(0)
    rows = []
    for given, name in ((1, "given positives"), (0, "given negatives")):
        of_value = shares[shares["given"] == given]
        total = int(of_value["labels"].sum())
        counts = [round(float((of_value[column] * of_value["labels"]).sum())) for column in [*VERDICTS, "changed"]]
        rows.append([name, f"{total:,}", *(f"{count:,}" for count in counts)])
    return _table(["", "labels", "clean", "re-labelled", "ambiguous", "changed value"], rows)


def _class_rows(evaluation: Evaluation) -> str:
    table = class_table(evaluation).sort_values("train_positives", ascending=False, kind="stable")
    shares = [f"{verdict}_positives" for verdict in VERDICTS]
    measured = [column for column in table if column == "ap" or str(column).startswith("ap_")]
    wrong = [column for column in table if column == "wrong_positives"]
    splits = ["AP %", *(f"AP {escape(str(column)[3:])} %" for column in measured[1:])]
    headings = ["class", "group", "positives", "given", *splits, "clean %", "re-labelled %"]
    headings += ["ambiguous %", *(["truly wrong %"] if wrong else [])]
    rows = [
        [escape(shortened(str(r["class"]))), r["group"], f"{r['train_positives']:,}", f"{r['given_positives']:,}"]
        + [_percent(r[column]) for column in [*measured, *shares, *wrong]]
        for r in table.to_dict("records")
    ]
    return _table(headings, rows)


def _suspect_tables(evaluation: Evaluation) -> list[str]:
    texts = {
        1: (
            "Given labels that are most likely wrong",
            "The classes that these images are said to show, most doubted first.",
        ),
        0: (
            "Labels that seem to be missing",
            "Classes that the model is sure to see in images not labelled with them.",
        ),
    }
    parts = []
    for given, (title, aid) in texts.items():
        table = suspects(evaluation.labels, given, MOST_SUSPECTS, evaluation.true)
        if not table.empty:
            parts.append(
                f"<details open><summary>{title} (the first {len(table)})</summary><p>{aid}</p>"
                f"{_suspect_table(table, evaluation.true is not None)}</details>"
            )
    return parts


def _suspect_table(table: pd.DataFrame, truth_known: bool) -> str:
    headings = ["image", "class", "p_clean", "verdict", "refined label", *(["truth"] if truth_known else [])]
    words = {0: "absent", 1: "present"}
    verdicts = {"relabelled": "re-labelled"}
    rows = []
    for r in table.to_dict("records"):
        values = [
            shortened(str(r["id"])),
            shortened(str(r["class"])),
            f"{r['p_clean']:.4f}",
            verdicts.get(r["verdict"], r["verdict"]),
            words[r["label"]],
        ]
        rows.append([escape(str(value)) for value in [*values, *([words[r["true"]]] if truth_known else [])]])
    return _table(headings, rows, "long")


def _figure(name: str, plots: Path) -> str:
    title, aid = FIGURE_TEXTS[name]
    image = base64.b64encode((plots / f"{name}.png").read_bytes()).decode()
    return (
        f"<figure><h3>{title}</h3><figcaption>{aid}</figcaption>"
        f'<img alt="{title}" src="data:image/png;base64,{image}"></figure>'
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """Cells are HTML already."""
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll {kind}"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _percent(share: Any, decimals: int = 1) -> str:
    return "–" if share is None or math.isnan(share) else f"{100 * share:.{decimals}f}"
