"""Outputs that are read back: each fault is refused with its row or key, and what a stage wrote is read as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bmix.support.errors import LONGEST_PART, InputError
from bmix.support.readers import Column, Made, read_json_file, read_object, read_table
from bmix.support.yaml_text import parse_yaml

MADE = Made.by_stage("an output", "train")
COLUMNS = {
    "epoch": Column("whole", 1),
    "phase": Column("text", among=("warmup", "managed")),
    "loss": Column("number", nan=True),
    "share": Column("number", 0, 1),
}
FRAME = pd.DataFrame(
    {"epoch": [1, 2], "phase": ["warmup", "managed"], "loss": [0.1 + 0.2, float("nan")], "share": [0.5, 1.0]}
)


def write(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(path, index=False, na_rep="nan") if path.suffix == ".csv" else frame.to_parquet(path, index=False)
    return path


def refusal(read: Callable[[], Any]) -> InputError:
    with pytest.raises(InputError) as caught:
        read()
    return caught.value


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_is_read_as_it_was_written(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"table{suffix}", FRAME.assign(further=3)[["share", "further", "loss", "phase", "epoch"]])
    read = read_table(path, COLUMNS, MADE)
    pd.testing.assert_frame_equal(read, FRAME, check_dtype=False)
    assert [str(kind) for kind in read.dtypes] == ["int64", "object", "float64", "float64"]


@pytest.mark.parametrize(
    ("name", "cell", "found", "expected"),
    [
        ("epoch", 0, "epoch is 0", "a whole number from 1"),
        ("phase", "warm", "phase is 'warm'", "one of warmup, managed"),
        ("loss", float("inf"), "loss is inf", "a number, or nan"),
        ("share", 1.5, "share is 1.5", "a number from 0 to 1"),
        ("share", float("nan"), "share is nan", "a number from 0 to 1"),
    ],
)
def test_a_cell_that_does_not_fit_is_named_by_its_row(
    tmp_path: Path, name: str, cell: Any, found: str, expected: str
) -> None:
    frame = FRAME.copy()
    frame.loc[1, name] = cell
    for suffix, row in ((".csv", "line 3"), (".parquet", "row 2")):
        path = write(tmp_path / f"table{suffix}", frame)
        refused = refusal(lambda path=path: read_table(path, COLUMNS, MADE))
        assert (refused.where, refused.found) == (f"{path}, {row}", found)
        assert refused.expected == expected
        assert "dvc checkout --force" in refused.remedy


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", 'no column "epoch"'),
        ("epoch,phase,loss,share\n1,warmup,1,1,1\n", "5 cells"),
        ("epoch,phase,loss,share\n1,warmup,1\n", "3 cells"),
        ("epoch,epoch,loss,share\n1,1,1,1\n", 'columns "epoch", "epoch"'),
        ('epoch,phase,loss,share\n1,"warm"up,1,1\n', "not readable as CSV"),
        ("epoch,phase,loss\n1,warmup,1\n", 'no column "share"'),
        ("epoch,phase,loss,share\n1.5,warmup,1,1\n", "epoch is '1.5'"),
        ("epoch,phase,loss,share\n1,warmup,,1\n", "loss is ''"),
        ("epoch,phase,loss,share\n1,warmup,x,1\n", "loss is 'x'"),
        (f"epoch,phase,loss,share\n{'9' * 5000},warmup,1,1\n", "epoch is '999"),
        ("\xe9poch,phase,loss,share\n1,warmup,1,1\n", "not readable as CSV"),
    ],
)
def test_a_damaged_csv_is_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode("latin-1"))
    refused = refusal(lambda: read_table(path, COLUMNS, MADE))
    assert found in refused.found
    assert len(str(refused)) < 600


def test_a_parquet_of_other_types_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    for name, cells, found in [
        ("epoch", ["1", "2"], "column epoch holds "),
        ("epoch", [None, None], "epoch is None"),
        ("phase", [1, 2], "column phase holds int64"),
        ("share", [True, False], "column share holds bool"),
    ]:
        write(path, FRAME.assign(**{name: cells}))
        assert found in refusal(lambda: read_table(path, COLUMNS, MADE)).found
    path.write_bytes(b"PAR1 nothing PAR1")
    assert "not readable as parquet" in refusal(lambda: read_table(path, COLUMNS, MADE)).found
    assert "no such file" in refusal(lambda: read_table(tmp_path / "absent.parquet", COLUMNS, MADE)).found


def test_lists_are_checked_part_by_part(tmp_path: Path) -> None:
    columns = {"names": Column("texts"), "counts": Column("wholes", 0, length=2), "true": Column("texts", null=True)}
    sound = {"names": [["a", "b"], []], "counts": [[0, 1], [2, 3]], "true": [None, ["a"]]}
    path = write(tmp_path / "table.parquet", pd.DataFrame(sound))
    read = read_table(path, columns, MADE)
    assert {name: read[name].tolist() for name in columns} == sound
    for name, cells, found in [
        ("names", [["a", None], ["b"]], "names is ['a', None]"),
        ("names", [["a"], None], "names is None"),
        ("names", [None, None], "names is None"),
        ("names", [[1], [2]], "column names holds list<"),
        ("counts", [[0, 1], [2]], "counts is [2]"),
        ("counts", [[0, -1], [2, 3]], "counts is [0, -1]"),
        ("counts", [[0.5, 1], [2, 3]], "column counts holds list<"),
    ]:
        write(path, pd.DataFrame(sound | {name: cells}))
        assert found in refusal(lambda: read_table(path, columns, MADE)).found
    write(path, pd.DataFrame(sound | {"true": [None, None]}))
    assert read_table(path, columns, MADE)["true"].tolist() == [None, None]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "not readable as JSON"),
        ("{", "not readable as JSON"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "not readable as JSON"),
        (r'{"a": "\ud800"}', "surrogates not allowed"),
        ("\xff", "not readable as JSON"),
    ],
)
def test_what_is_not_json_is_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "value.json"
    path.write_bytes(text.encode("latin-1"))
    refused = refusal(lambda: read_json_file(path, MADE))
    assert refused.where == str(path)
    assert found in refused.found


def test_signs_beyond_the_first_plane_are_json(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    path.write_text(r'{"a": "\ud83d\ude00"}')
    assert read_json_file(path, MADE) == {"a": "\U0001f600"}


def test_the_keys_of_an_object_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    rules = {
        "managed": ("true or false", lambda value: isinstance(value, bool)),
        "count": ("3", lambda value: value == 3),
    }
    for text, where, found in [
        ("[]", "", "holds a list"),
        ("null", "", "holds nothing"),
        ('{"managed": true}', "", "key count is missing"),
        ('{"managed": 1, "count": 3}', ", managed", "is 1"),
        ('{"managed": true, "count": "' + "x" * 5000 + '"}', ", count", "is 'xxx"),
    ]:
        path.write_text(text)
        refused = refusal(lambda: read_object(path, rules, MADE))
        assert refused.where == f"{path}{where}"
        assert refused.found.startswith(found)
        assert len(str(refused)) < 600
    path.write_text('{"managed": true, "count": 3, "more": 1}')
    assert read_object(path, rules, MADE)["count"] == 3


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("!!int x", "invalid literal"),
        ("!!timestamp 5", "attribute"),
        ("!!float x", "could not convert"),
        ("[" * 200_000 + "]" * 200_000, "nested more than 100 deep"),
        ("a: " + "[" * 200_000 + "]" * 200_000, "nested more than 100 deep"),
        ("\n".join(" " * depth + "a:" for depth in range(300)), "nested more than 100 deep"),
        ("- " * 300 + "a", "nested more than 100 deep"),
        ("&a [*a]", "an alias stands for what holds it"),
        ("a: 1\na: 2", "a is duplicated"),
        ("!!python/object:os.system x", "could not determine a constructor"),
        (
            "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]),
            "too many values",
        ),
    ],
)
def test_yaml_that_is_no_plain_content_is_an_error_of_yaml(text: str, found: str) -> None:
    import yaml

    with pytest.raises(yaml.YAMLError, match=found):
        parse_yaml(text)


def test_anchors_may_be_used() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


def test_a_message_shows_a_part_of_a_long_value() -> None:
    error = InputError("w" * 10_000, "short", "e" * 10_000, "r")
    assert (error.found, len(error.where)) == ("short", 10_000)
    assert LONGEST_PART < len(str(error)) < 2 * LONGEST_PART + 200


def test_numbers_come_back_bit_for_bit(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).standard_normal(600) * 10.0 ** np.arange(-300, 300)
    path = write(tmp_path / "table.csv", pd.DataFrame({"x": numbers}))
    assert np.array_equal(read_table(path, {"x": Column("number")}, MADE)["x"], numbers)
