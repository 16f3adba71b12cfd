"""Class names that MLflow would lose, misname, take for one another, or refuse with the whole record."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.support.spreadsheet import write_named_csv
from bmix.tracking import tables
from bmix.tracking.metric_names import key_part, metric_key
from stages import publish
from tests.helpers.mlflow_runs import children

HOSTILE = [
    *("None", "nan", "NA", "null", "N/A", "", " ", "007", "7", "7.0", "1e3", "1000", "True", "inf", "-", "#"),
    *("a/b", "a?b", "a_b", "a\\b", ".", "..", "...", "./a", "../a", "/a", "a/", "a//b", "a/../b", "黒猫", "子犬"),
    *(
        "x" * 249,
        "x" * 250,
        "x" * 10_000,
        "x" * 9_999 + "y",
        "a\nb",
        "a\rb",
        "a\tb",
        "a\n",
        "😀",
        "😀😀",
        "é",
        "e\u0301",
    ),
    *(
        "e\u0301",
        "cat",
        "Cat",
        "cat ",
        " cat",
        "cat\u200b",
        "cat (wild)",
        "cat _wild_",
        "=1+1",
        "+1",
        "@x",
        "'=1+1",
        "a b",
        "a:b",
    ),
]
HOSTILE += [key_part(name) for name in HOSTILE]
HOSTILE = list(dict.fromkeys(HOSTILE))


def is_taken_by_mlflow(key: str) -> bool:
    return bool(re.fullmatch(r"[/\w.\- :]{1,250}", key)) and posixpath.normpath(key) == key


def test_every_name_has_a_key_of_its_own_that_mlflow_takes() -> None:
    keys = [metric_key("ap", name) for name in HOSTILE]
    assert len(set(keys)) == len(HOSTILE)
    assert [key for key in keys if not is_taken_by_mlflow(key)] == []


@given(st.lists(st.text(max_size=300), unique=True, max_size=20))
@settings(max_examples=200, deadline=None)
def test_no_two_names_share_a_key(names: list[str]) -> None:
    keys = [metric_key("ap_balanced", name) for name in names]
    assert len(set(keys)) == len(names)
    assert all(is_taken_by_mlflow(key) for key in keys)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("hair drier", "hair drier"),
        ("traffic_light", "traffic_light"),
        ("黒猫", "黒猫"),
        ("007", "007"),
        ("a:b", "a:b"),
        ("a/b", "a_b.9a159f8121"),
        ("cat (wild)", "cat _wild_.ec7bbe79a3"),
        ("..", "_.7c076d0f9d"),
        ("", "_.7d64c5272e"),
    ],
)
def test_a_key_can_be_read(name: str, part: str) -> None:
    assert key_part(name) == part


def test_a_name_that_looks_like_a_marked_one_is_marked() -> None:
    marked = key_part("a/b")
    assert key_part(marked) != marked
    assert key_part(marked).startswith(f"{marked}.")


@pytest.mark.pipeline
def test_the_average_precision_of_every_class_is_in_mlflow_under_its_own_key(recorded: Path) -> None:
    ap = [round(0.001 * (row + 1), 6) for row in range(len(HOSTILE))]
    write_named_csv(Path("plots/classes.csv"), pd.DataFrame({"class": HOSTILE, "group": "few", "ap": ap}))
    publish.main()
    logged = children()["evaluate"].data.metrics
    assert {key: value for key, value in logged.items() if key.startswith("ap/")} == {
        metric_key("ap", name): value for name, value in zip(HOSTILE, ap, strict=True)
    }


def test_class_without_average_precision_has_no_metric() -> None:
    table = pd.DataFrame({"class": ["nan", "7"], "ap": [0.5, float("nan")], "ap_balanced": [float("nan"), 0.25]})
    assert dict(tables.class_numbers(table)) == {"ap/nan": 0.5, "ap_balanced/7": 0.25}
