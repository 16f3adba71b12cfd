"""report.html: one page for people, with every figure inside it and nothing from outside."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bmix.evaluation.results import Evaluation, NoiseScores, class_table
from bmix.evaluation.verdicts import VERDICTS, suspects, verdict_shares
from bmix.support.errors import shortened

TEMPLATES = Path(__file__).parent / "templates"
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
    "reliability": (
        "What the probabilities are worth",
        "On the dashed line, left, what is given 70 % is there 7 times in 10; right, classes below the line gain.",
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
GROUPS = ("all", "many", "medium", "few")
DETECTION_HEADINGS = ["", "labels", "wrong", "called wrong", "found", "precision %", "recall %", "F1 %"]
REPAIR_HEADINGS = ["", "repaired", "of the wrong %", "broken", "of the right %", "wrong before %", "wrong after %"]


class Table(NamedTuple):
    """A table as the template shows it; its cells are plain text."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def render_report(evaluation: Evaluation, plots: Path, names: Sequence[str], warnings: Sequence[str] = ()) -> str:
    """The whole page as HTML. `names`: the PNG files in the folder `plots` to show, as `write_plots` returned them.

    warnings: what a person should know before they believe it, shown first.

    Equal results and figures give an equal page: it holds no date and no path. All text from the data is escaped.
    """
    labels = evaluation.labels
    images, classes = labels.given_NK.shape
    shown = [name for name in FIGURE_TEXTS if name in names]
    page = _templates().get_template("report.html.j2")
    return page.render(
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        epochs=len(evaluation.record.history),
        images=images,
        classes=classes,
        positives=int(labels.given_NK.sum()),
        warnings=warnings,
        means=_means(evaluation),
        managed=evaluation.record.managed,
        rule=_rule(evaluation),
        noise=None if evaluation.noise is None else _noise(evaluation.noise),
        verdicts=_verdict_table(evaluation),
        label_figures=[_figure(name, plots) for name in shown if name in LABEL_FIGURES],
        figures=[_figure(name, plots) for name in shown if name not in LABEL_FIGURES],
        suspects=_suspect_lists(evaluation),
        class_rows=_class_rows(evaluation),
    )


def _templates() -> Environment:
    """Everything that a template shows is escaped."""
    loader = FileSystemLoader(TEMPLATES)
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )


def _means(evaluation: Evaluation) -> dict[str, Any]:
    many, medium = evaluation.thresholds
    headings = ["split", "all", f"many (≥ {many:,})", f"medium (≥ {medium:,})", f"few (< {medium:,})"]
    rows, left_out = [], []
    for split in evaluation.ap:
        means = evaluation.means(split)
        cells = [{"percent": percent(means[group]), "classes": means["classes"][group]} for group in GROUPS]
        rows.append({"split": split, "cells": cells})
        if means["left_out"]:
            left_out.append(f"{means['left_out']} without a positive in {split}")
    return {"headings": headings, "rows": rows, "left_out": "; ".join(left_out)}


def _noise(noise: NoiseScores) -> dict[str, Any]:
    detection = [
        [AMONG_NAMES[r["among"]], *(f"{r[c]:,}" for c in ("labels", "wrong", "called", "found"))]
        + [percent(r[c]) for c in ("precision", "recall", "f1")]
        for r in noise.detection.query("criterion == 'called wrong'").to_dict("records")
    ]
    repair = [
        [AMONG_NAMES[r["among"]], f"{r['repaired']:,}", percent(r["repaired_share"]), f"{r['broken']:,}"]
        + [percent(r[c], 2) for c in ("broken_share", "wrong_before", "wrong_after")]
        for r in noise.repair.to_dict("records")
    ]
    return {
        "detection": Table(DETECTION_HEADINGS, detection),
        "repair": Table(REPAIR_HEADINGS, repair),
        "average_precision": percent(noise.ranking["average_precision"]),
        "roc_auc": percent(noise.ranking["roc_auc"]),
    }


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


def _verdict_table(evaluation: Evaluation) -> Table:
    shares = verdict_shares(evaluation.labels).fillna(0)
    rows = []
    for given, name in ((1, "given positives"), (0, "given negatives")):
        of_value = shares[shares["given"] == given]
        total = int(of_value["labels"].sum())
        counts = [round(float((of_value[column] * of_value["labels"]).sum())) for column in [*VERDICTS, "changed"]]
        rows.append([name, f"{total:,}", *(f"{count:,}" for count in counts)])
    return Table(["", "labels", "clean", "re-labelled", "ambiguous", "changed value"], rows)


def _class_rows(evaluation: Evaluation) -> Table:
    table = class_table(evaluation).sort_values("train_positives", ascending=False, kind="stable")
    shares = [f"{verdict}_positives" for verdict in VERDICTS]
    measured = [column for column in table if column == "ap" or str(column).startswith("ap_")]
    wrong = [column for column in table if column == "wrong_positives"]
    splits = ["AP %", *(f"AP {str(column)[3:]} %" for column in measured[1:])]
    headings = ["class", "group", "positives", "given", *splits, "clean %", "re-labelled %"]
    headings += ["ambiguous %", *(["truly wrong %"] if wrong else [])]
    rows = [
        [shortened(str(r["class"])), r["group"], f"{r['train_positives']:,}", f"{r['given_positives']:,}"]
        + [percent(r[column]) for column in [*measured, *shares, *wrong]]
        for r in table.to_dict("records")
    ]
    return Table(headings, rows)


def _suspect_lists(evaluation: Evaluation) -> list[dict[str, Any]]:
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
    found = []
    for given, (title, aid) in texts.items():
        table = suspects(evaluation.labels, given, MOST_SUSPECTS, evaluation.true)
        if not table.empty:
            shown = _suspect_table(table, evaluation.true is not None)
            found.append({"title": title, "aid": aid, "count": len(table), "table": shown})
    return found


def _suspect_table(table: pd.DataFrame, truth_known: bool) -> Table:
    headings = ["image", "class", "p_clean", "verdict", "refined label", *(["truth"] if truth_known else [])]
    words = {0: "absent", 1: "present"}
    verdicts = {"relabelled": "re-labelled"}
    rows = [
        [
            shortened(str(r["id"])),
            shortened(str(r["class"])),
            f"{r['p_clean']:.4f}",
            verdicts.get(r["verdict"], r["verdict"]),
            words[r["label"]],
            *([words[r["true"]]] if truth_known else []),
        ]
        for r in table.to_dict("records")
    ]
    return Table(headings, rows)


def _figure(name: str, plots: Path) -> dict[str, str]:
    title, aid = FIGURE_TEXTS[name]
    return {"title": title, "aid": aid, "image": base64.b64encode((plots / f"{name}.png").read_bytes()).decode()}


def percent(share: Any, decimals: int = 1) -> str:
    """A share in percent as a cell; a dash for what is undefined."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:.{decimals}f}"
