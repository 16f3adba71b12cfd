"""The report's tables: results by group, what the verdicts found, every class. Shares are in percent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bmix.evaluation.results import Evaluation, NoiseScores, class_table
from bmix.evaluation.verdicts import VERDICTS, verdict_shares
from bmix.support.errors import shortened

TEMPLATES = Path(__file__).parent / "templates"
AMONG_NAMES = {"all": "all labels", "positives": "given positives", "negatives": "given negatives"}
GROUPS = ("all", "many", "medium", "few")
DETECTION_HEADINGS = ["", "labels", "wrong", "called wrong", "found", "precision %", "recall %", "F1 %"]
REPAIR_HEADINGS = ["", "repaired", "of the wrong %", "broken", "of the right %", "wrong before %", "wrong after %"]


class Table(NamedTuple):
    """A table as the template shows it; its cells are plain text."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def means(evaluation: Evaluation) -> dict[str, Any]:
    """mAP by split and group, with the number of classes."""
    many, medium = evaluation.thresholds
    headings = ["split", "all", f"many (≥ {many:,})", f"medium (≥ {medium:,})", f"few (< {medium:,})"]
    rows, left_out = [], []
    for split in evaluation.ap:
        of_split = evaluation.means(split)
        cells = [{"percent": percent(of_split[group]), "classes": of_split["classes"][group]} for group in GROUPS]
        rows.append({"split": split, "cells": cells})
        if of_split["left_out"]:
            left_out.append(f"{of_split['left_out']} without a positive in {split}")
    return {"headings": headings, "rows": rows, "left_out": "; ".join(left_out)}


def top1_table(evaluation: Evaluation) -> Table | None:
    """How often the likeliest class is wrong, by split; None unless every image has exactly one class."""
    if evaluation.top1 is None:
        return None
    headings = ["split", "top-1 error %", "mean over the classes %", "macro-F1 %"]
    shares = {split: (own.error, own.class_error, own.macro_f1) for split, own in evaluation.top1.items()}
    return Table(headings, [[split, *(percent(share, 2) for share in own)] for split, own in shares.items()])


def noise_tables(noise: NoiseScores) -> dict[str, Any]:
    """How the verdicts dealt with wrong labels."""
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


def rule(evaluation: Evaluation) -> str:
    """By which rule the recipe doubts labels."""
    if evaluation.record.mixtures.empty:
        return (
            "The recipe doubts labels by a rule of its own. "
            "One that is not clean was re-labelled to the other value, or is ambiguous and was left out."
        )
    return (
        "A label that is not clean was re-labelled where the model was sure "
        f"(ε = {evaluation.record.epsilon:g}), and is ambiguous otherwise."
    )


def verdict_table(evaluation: Evaluation) -> Table:
    """Labels by given value and verdict."""
    shares = verdict_shares(evaluation.labels).fillna(0)
    rows = []
    for given, name in ((1, "given positives"), (0, "given negatives")):
        of_value = shares[shares["given"] == given]
        total = int(of_value["labels"].sum())
        counts = [round(float((of_value[column] * of_value["labels"]).sum())) for column in [*VERDICTS, "changed"]]
        rows.append([name, f"{total:,}", *(f"{count:,}" for count in counts)])
    return Table(["", "labels", "clean", "re-labelled", "ambiguous", "changed value"], rows)


def class_rows(evaluation: Evaluation) -> Table:
    """A row per class, the most frequent first."""
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


def percent(share: Any, decimals: int = 1) -> str:
    """A share in percent as a cell; a dash for what is undefined."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:.{decimals}f}"
