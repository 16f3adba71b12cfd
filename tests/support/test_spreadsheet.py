"""Names in CSV files: harmless in a spreadsheet, and read back exactly."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmix.support.files import write_csv
from bmix.support.spreadsheet import guarded, read_named_csv, unguarded, write_named_csv

HOSTILE = [
    *(
        "None",
        "nan",
        "NA",
        "null",
        "N/A",
        "#N/A",
        "",
        " ",
        "007",
        "7",
        "1e3",
        "True",
        "inf",
        "-inf",
        "-",
        ",",
        '"',
        "'",
    ),
    *("=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "'=1+1", "''=1+1", "'x", "=cmd|' /C calc'!A0", "＝1"),
    *("a\rb", "a\r\nb", "a\nb", 'say "a", b', " x ", "😀", "黒猫", "x" * 10_000, "\u2028", "\x85", "\ufeffx"),
]


def named(names: list[str]) -> pd.DataFrame:
    ap = [0.5 if row % 2 else float("nan") for row in range(len(names))]
    return pd.DataFrame({"class": names, "group": "few", "ap": ap, "count": range(len(names))})


def test_names_are_read_back_exactly(tmp_path: Path) -> None:
    table = named(HOSTILE)
    write_named_csv(tmp_path / "table.csv", table)
    read = read_named_csv(tmp_path / "table.csv")
    assert read["class"].tolist() == HOSTILE
    pd.testing.assert_frame_equal(read.drop(columns="class"), table.drop(columns="class"), check_dtype=False)


def test_no_cell_begins_like_a_formula(tmp_path: Path) -> None:
    write_named_csv(tmp_path / "table.csv", named(HOSTILE))
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        cells = [row[0] for row in csv.reader(file)]
    assert [cell for cell in cells if cell[:1] in tuple("=+-@\t\r\n＝")] == []
    assert "'=1+1" in cells
    assert "''=1+1" in cells


@given(st.text(alphabet="'=+-@\t\r\nab", max_size=6))
def test_the_guard_is_taken_off_again(name: str) -> None:
    assert unguarded(guarded(name)) == name
    assert not guarded(name).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@pytest.mark.parametrize("names", [["ant", "bee (wild)"], ["a,b", 'c"d']])
def test_plain_names_are_written_as_in_any_csv(tmp_path: Path, names: list[str]) -> None:
    write_named_csv(tmp_path / "named.csv", named(names))
    write_csv(tmp_path / "plain.csv", named(names))
    assert (tmp_path / "named.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
