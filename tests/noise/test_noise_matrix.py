from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.noise.matrix import read_matrix
from bmix.support.errors import InputError

CLASSES = ["cat", "dog", "traffic light"]
GOOD = "class,dog,cat,traffic light\ncat,0.25,0.75,0\ntraffic light,0,0,1\ndog,0.5,0.5,0\n"
MATRIX = [[0.75, 0.25, 0], [0.5, 0.5, 0], [0, 0, 1]]


def read(tmp_path: Path, content: str | bytes) -> np.ndarray:
    path = tmp_path / "turns.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_matrix(path, CLASSES)


@pytest.mark.parametrize(
    "content",
    [GOOD, "\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD.replace(",", " , "), "\n" + GOOD.replace("\n", "\n\n")],
)
def test_rows_and_columns_are_matched_by_name(tmp_path: Path, content: str) -> None:
    np.testing.assert_array_equal(read(tmp_path, content), MATRIX)


def test_the_shipped_example_is_a_matrix_of_the_digits() -> None:
    matrix = read_matrix(Path("data/noise/confusions.csv"), [str(digit) for digit in range(10)])
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    assert (matrix.diagonal() >= 0.6).all()
    assert matrix[4, 9] == matrix[9, 4] == 0.2


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (GOOD, "", 1, "the file is empty"),
        ("class,", "name,", 1, 'the first cell is "name"'),
        ("dog,cat,", "dog,", 1, 'no column for "cat"'),
        ("dog,cat,", "dog,cta,", 1, 'column "cta" is not in the class list.*fix: .*Did you mean "cat"'),
        ("dog,cat,", "dog,dog,", 1, 'column "dog" is already in line 1'),
        ("traffic light,0,0,1\n", "", 3, 'no row for "traffic light"'),
        ("\ndog", "\nbird", 4, 'row "bird" is not in the class list'),
        ("\ndog", "\ncat", 4, 'row "cat" is already in line 2'),
        ("0.25,0.75,0", "0.25,0.75", 2, "3 cells.*expected: 4"),
        ("0.25,0.75,0", "0.25,0.75,0,0", 2, "5 cells"),
        ("0.25,0.75", "x,0.75", 2, 'column "dog": "x"'),
        ("0.25,0.75", "nan,0.75", 2, 'column "dog": "nan"'),
        ("0.25,0.75", ",0.75", 2, 'column "dog": ""'),
        ("0.25,0.75", "0.25,-0.75", 2, 'column "cat": "-0.75"'),
        ("0.25,0.75", "0.25,0.7", 2, 'the row of "cat" sums to 0.95'),
        ("traffic light\ncat", "caf\u00e9\ncat", 1, 'column "caf\u00e9"'),
        ("dog,0.5", '"dog,0.5', 4, "unexpected end of data"),
    ],
)
def test_a_faulty_matrix_is_refused_by_its_line(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)turns\.csv, line {line}: {message}"):
        read(tmp_path, GOOD.replace(old, new, 1))


def test_a_file_that_is_not_there_or_not_utf_8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"(?s)noise\.matrix, .*nowhere\.csv: no such file.*correct noise\.matrix"):
        read_matrix(tmp_path / "nowhere.csv", CLASSES)
    with pytest.raises(InputError, match="a folder"):
        read_matrix(tmp_path, CLASSES)
    with pytest.raises(InputError, match=r"(?s)line 2: byte 0xe9 is not UTF-8.*save it as UTF-8"):
        read(tmp_path, GOOD.replace("\ncat", "\ncaf\u00e9").encode("latin-1"))


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.text('class,dogt\n\r"\0 01.;', max_size=80)), st.integers(0, len(GOOD)))
def test_whatever_the_file_holds_it_is_a_matrix_or_refused(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes | str, place: int
) -> None:
    inserted = noise if isinstance(noise, bytes) else noise.encode()
    content = GOOD.encode()[:place] + inserted + GOOD.encode()[place:]
    refusal, matrix = "", np.eye(3)
    try:
        matrix = read(tmp_path_factory.getbasetemp(), content)
    except InputError as error:
        refusal = error.where
    assert "turns.csv, line " in refusal or not refusal
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
