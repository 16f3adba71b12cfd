"""What the report says of the labels that are wrong, and of those that a review changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from bmix.evaluation.looking import Worth
from bmix.figures.opening import opening
from bmix.figures.plots import Drawings
from bmix.figures.report import render_report
from bmix.figures.worth import estimate_section, review_section
from tests.helpers.evaluation_example import make_example
from tests.helpers.report_example import SETTINGS

NAMES = ["<i>cat</i>", "dog", "owl"]
EXAMPLE = make_example(classes=3, images=120, names=NAMES)


def worth() -> Worth:
    rows: list[dict[str, Any]] = []
    for name, wrong, judged in zip(NAMES, (3.0, 9.0, 40.0), (True, True, False), strict=True):
        for given in (1, 0):
            row: dict[str, Any] = {"class": name, "given": given, "labels": 60 if given else 1200, "judged": judged}
            looks = 2 * wrong if judged else float("nan")
            for end, factor in (("", 1), ("_low", 0.5), ("_high", 2)):
                row |= {f"wrong{end}": wrong * factor, f"looks{end}": looks * factor}
            rows.append(row)
    return Worth(pd.DataFrame(rows), {1: (20, 11, 52), 0: (21, 12, 53)}, "1 of 3 classes cannot be told apart")


REVIEW = {
    "run": "first",
    "from": "labels.csv",
    "answers": "answers.jsonl",
    "rule": {"": 0.98, "dog": 0.9},
    "fits": True,
    "classes": {
        "<i>cat</i>": {"answer": {"added": 2, "removed": 5, "kept": 1}, "rule": {"added": 0, "removed": 4, "kept": 0}},
        "dog": {"answer": {"added": 1, "removed": 0, "kept": 3}, "rule": {"added": 7, "removed": 0, "kept": 0}},
    },
}


def test_the_estimate_says_how_many_and_of_which_classes_nothing_is_known() -> None:
    section = estimate_section(EXAMPLE.evaluation(truth_known=False), worth())
    assert section is not None
    assert section.table is not None
    assert section.sentences == [
        "About 12 (6 to 24) of 120 given labels are wrong; nine tenths of them are expected among the first 20 (11 to "
        "52).",
        "About 12 (6 to 24) labels are missing among 2,400 not given; nine tenths of them are expected among the first "
        "21 (12 to 53).",
    ]
    rows = [list(row) for row in section.table.rows]
    assert rows[0] == ["dog", "60", "9 (4 to 18)", "18 (9 to 36)", "1,200", "9 (4 to 18)", "18 (9 to 36)"]
    assert rows[1][0] == "<i>cat</i>"
    assert rows[2] == ["owl", "60", "–", "–", "1,200", "–", "–"]
    assert section.caution == "1 of 3 classes cannot be told apart."


def test_the_truth_stands_beside_the_estimate_where_it_is_known() -> None:
    section = estimate_section(EXAMPLE.evaluation(), worth())
    assert section is not None
    assert section.table is not None
    assert list(section.table.headings[-2:]) == ["truly wrong", "truly missing"]
    wrong = (EXAMPLE.given & ~EXAMPLE.true).sum(axis=0)
    missing = (EXAMPLE.true & ~EXAMPLE.given).sum(axis=0)
    expected = {name: [str(wrong[k]), str(missing[k])] for k, name in enumerate(NAMES)}
    assert {row[0]: list(row[-2:]) for row in section.table.rows} == expected


def test_without_an_audit_the_report_says_what_the_network_cannot_tell() -> None:
    section = estimate_section(EXAMPLE.evaluation(truth_known=False), None)
    assert section is not None
    assert section.table is None
    assert "learnt by heart" in section.sentences[0]
    assert estimate_section(EXAMPLE.evaluation(), None) is None


def test_a_review_is_told_class_by_class() -> None:
    section = review_section(REVIEW)
    assert section is not None
    assert section.table is not None
    assert section.sentences == [
        "The labels come from labels.csv, reviewed in the run first, and were changed by the answers in answers.jsonl "
        "and by the rule that a label is wrong with a probability above 0.98, 0.9 of dog.",
        "People's answers added 3 labels and removed 5; the rule added 7 labels and removed 4.",
        "4 were confirmed. What people looked at is trusted.",
    ]
    assert [list(row) for row in section.table.rows] == [
        ["<i>cat</i>", "2", "5", "1", "0", "4"],
        ["dog", "1", "0", "3", "7", "0"],
    ]
    assert list(section.table.headings) == [
        "class",
        "added",
        "removed",
        "kept",
        "added by the rule",
        "removed by the rule",
    ]
    assert section.caution == ""
    edited = review_section(REVIEW | {"fits": False, "rule": None})
    assert edited is not None
    assert edited.table is not None
    assert edited.caution == "The file of labels was edited after the review wrote it."
    assert list(edited.table.headings) == ["class", "added", "removed", "kept"]
    assert edited.sentences[1] == "People's answers added 3 labels and removed 5."
    ruled = review_section(REVIEW | {"answers": None})
    assert ruled is not None
    assert ruled.table is not None
    assert list(ruled.table.headings) == ["class", "added", "removed"]
    assert ruled.sentences[1:] == ["The rule added 7 labels and removed 4."]
    empty = review_section(REVIEW | {"classes": {}})
    assert empty is not None
    assert empty.table is None
    assert review_section(None) is None


def test_both_are_on_the_page_and_escaped() -> None:
    evaluation = EXAMPLE.evaluation(truth_known=False)
    drawings = Drawings({}, [], [])
    page = render_report(evaluation, opening(evaluation, SETTINGS), drawings, (), worth(), REVIEW)
    assert "What a review changed" in page
    assert "How many are wrong, and how many to look at" in page
    assert "<i>cat</i>" not in page
    assert "&lt;i&gt;cat&lt;/i&gt;" in page
    bare = render_report(replace(evaluation), opening(evaluation, SETTINGS), drawings)
    assert "What a review changed" not in bare
    assert "nothing was audited" in bare
