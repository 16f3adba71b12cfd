"""The report's words on what looking at labels is worth, and on what a review has changed already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from bmix.evaluation.looking import Worth
from bmix.evaluation.results import Evaluation
from bmix.figures.tables import Table
from bmix.support.errors import shortened

UNAUDITED = (
    "How many of the given labels are wrong is not known, and was not estimated: nothing was audited. The network that "
    "learnt the labels is their judge here, and what it has learnt by heart looks right to it. With weights of a "
    "pre-trained network every label is judged by models that never saw it: audit.weights."
)
_HEADINGS = ["class", "given", "wrong (95 %)", "to look at", "not given", "missing (95 %)", "to look at"]

_BY = {"answer": "people's answers", "rule": "the rule"}
_DONE = ("added", "removed", "kept")


class Section(NamedTuple):
    """Sentences, a table, and a sentence of caution; table is None and the others empty where there is nothing."""

    sentences: list[str]
    table: Table | None = None
    caution: str = ""


def estimate_section(evaluation: Evaluation, worth: Worth | None) -> Section | None:
    """How many labels are wrong and how many to look at, as the audit estimates; None if that is known without it."""
    if worth is None:
        return Section([UNAUDITED]) if evaluation.true is None else None
    by_label = {(row["class"], row["given"]): row for row in worth.table.to_dict("records")}
    truth = _truly(evaluation)
    rows = []
    for name in sorted(evaluation.classes, key=lambda name: _first(by_label[name, 1])):
        cells = [shortened(name)]
        for given in (1, 0):
            own = by_label[name, given]
            cells += [f"{own['labels']:,}", _interval(own, "wrong"), _interval(own, "looks")]
        rows.append([*cells, *(f"{count:,}" for count in truth.get(name, ()))])
    headings = [*_HEADINGS, *(["truly wrong", "truly missing"] if evaluation.true is not None else [])]
    judged = worth.table[worth.table["judged"]]
    sentences = [_told(judged[judged["given"] == given], worth.looks[given], given) for given in (1, 0) if len(judged)]
    return Section(sentences, Table(headings, rows), f"{worth.warning}." if worth.warning else "")


def _first(own: Mapping[Any, Any]) -> tuple[bool, float]:
    """Classes with most wrong labels first, those that cannot be judged last."""
    return not own["judged"], -own["wrong"]


def _truly(evaluation: Evaluation) -> dict[str, tuple[int, int]]:
    """By class how many given positives are wrong and how many are missing; empty where the truth is unknown."""
    if evaluation.true is None:
        return {}
    given_NK, ignored_NK = evaluation.labels.given_NK, evaluation.labels.ignored_NK
    wrong_NK = evaluation.true != given_NK
    if ignored_NK is not None:
        wrong_NK = wrong_NK & ~ignored_NK
    counts = zip((wrong_NK & given_NK).sum(axis=0), (wrong_NK & ~given_NK).sum(axis=0), strict=True)
    return {name: (int(w), int(m)) for name, (w, m) in zip(evaluation.classes, counts, strict=True)}


def _interval(own: Mapping[Any, Any], name: str) -> str:
    if not own["judged"] or own[name] != own[name]:
        return "–"
    return f"{own[name]:,.0f} ({own[f'{name}_low']:,.0f} to {own[f'{name}_high']:,.0f})"


def _told(judged: pd.DataFrame, looks: tuple[float, ...], given: int) -> str:
    number, low, high = (judged[f"wrong{end}"].sum() for end in ("", "_low", "_high"))
    labels = judged["labels"].sum()
    what = f"of {labels:,} given labels are wrong" if given else f"labels are missing among {labels:,} not given"
    return (
        f"About {number:,.0f} ({low:,.0f} to {high:,.0f}) {what}; nine tenths of them are expected among the "
        f"first {looks[0]:,.0f} ({looks[1]:,.0f} to {looks[2]:,.0f})."
    )


def review_section(review: Mapping[str, Any] | None) -> Section | None:
    """What a review changed in the labels that this run was given, class by class; None if there was none."""
    if review is None:
        return None
    origin = f"The labels come from {shortened(review['from'])}, reviewed in the run {shortened(review['run'])}"
    ways = []
    if review["answers"]:
        ways.append(f"by the answers in {shortened(review['answers'])}")
    if review["rule"]:
        ways.append(f"by the rule that a label is wrong with a probability above {_limits(review['rule'])}")
    shown = [by for by, used in (("answer", review["answers"]), ("rule", review["rule"])) if used]
    columns = [(by, done) for by in shown for done in (_DONE if by == "answer" else _DONE[:2])]
    counts = {name: [of_class[by][done] for by, done in columns] for name, of_class in review["classes"].items()}
    total = dict(zip(columns, map(sum, zip(*counts.values(), strict=True)), strict=False))
    told = [
        f"{_BY[by]} added {total[by, 'added']:,} labels and removed {total[by, 'removed']:,}" for by in shown if total
    ]
    sentences = [f"{origin}, and were changed {' and '.join(ways) or 'there'}."]
    if told:
        sentences.append(f"{_capital('; '.join(told))}.")
    if ("answer", "kept") in total:
        sentences.append(f"{total['answer', 'kept']:,} were confirmed. What people looked at is trusted.")
    headings = [done if by == shown[0] else f"{done} by the rule" for by, done in columns]
    table = Table(["class", *headings], [[shortened(name), *map(str, own)] for name, own in counts.items()])
    edited = "" if review["fits"] else "The file of labels was edited after the review wrote it."
    return Section(sentences, table if counts else None, edited)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _limits(rule: Mapping[str, float]) -> str:
    return ", ".join(f"{limit:g}{f' of {shortened(name)}' if name else ''}" for name, limit in rule.items())
