from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bmix.data.manifest import COLUMNS, Manifest, validate
from bmix.data.table import read_table
from bmix.errors import InputError
from tests.tiny import write_table

HEADER = "path,labels,split\n"


def read(folder: Path, text: str | bytes, seed: int = 0) -> Manifest:
    path = folder / "labels.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(path, folder, seed)


def refusal(folder: Path, text: str | bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        validate(read(folder, text), "labels.csv")
    return caught.value


def test_a_table_is_read_into_the_manifest_form(tmp_path: Path) -> None:
    manifest = read(tmp_path, HEADER + "a.jpg,dog;cat,train\nsub/b.jpg,,val\nc.jpg, bird ; bird ,train\n")
    assert manifest.frame.columns.tolist() == COLUMNS
    assert manifest.classes == ["bird", "cat", "dog"]
    assert manifest.frame["id"].tolist() == ["a.jpg", "sub/b.jpg", "c.jpg"]
    assert manifest.frame["labels"].tolist() == [["cat", "dog"], [], ["bird"]]
    assert manifest.frame["ignore"].tolist() == [[], [], []]
    assert manifest.frame.index.tolist() == [f"{tmp_path}/labels.csv, line {n}" for n in (2, 3, 4)]
    assert manifest.notes["labels"] == 'names joined by ";"'


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("cat;dog", ["cat", "dog"]),
        ("cat|dog", ["cat", "dog"]),
        ('"cat,dog"', ["cat", "dog"]),
        ('"cat, black;dog"', ["cat, black", "dog"]),
        ("cat dog", ["cat dog"]),
    ],
)
def test_the_delimiter_is_found_by_file(tmp_path: Path, cell: str, names: list[str]) -> None:
    manifest = read(tmp_path, HEADER + f"a.jpg,{cell},train\nb.jpg,cow,train\n")
    assert manifest.frame["labels"].tolist() == [names, ["cow"]]


def test_byte_order_mark_windows_line_ends_and_blank_lines_change_nothing(tmp_path: Path) -> None:
    text = HEADER + "a.jpg,cat;Käfer,train\nb.jpg,cat,val\n"
    plain = read(tmp_path, text)
    windows = read(tmp_path, b"\xef\xbb\xbf" + (text.replace("\n", "\r\n") + "\r\n").encode())
    pd.testing.assert_frame_equal(plain.frame, windows.frame)
    assert plain.classes == windows.classes == ["Käfer", "cat"]


def test_id_and_ignore_are_read_and_other_columns_left_alone(tmp_path: Path) -> None:
    manifest = read(tmp_path, "note,id,path,ignore,labels,split\nx,007,a.jpg,dog,cat,train\n,8,b.jpg,,dog;cat,train\n")
    assert manifest.ids("train") == ["007", "8"]
    assert manifest.ignored("train").tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("as_lists", [True, False])
def test_parquet_equals_csv(tmp_path: Path, as_lists: bool) -> None:
    csv = read_table(write_table(tmp_path), tmp_path, 0)
    path = write_table(tmp_path, name="labels.parquet")
    if not as_lists:
        frame = pd.read_parquet(path)
        frame.assign(labels=frame["labels"].map("|".join)).to_parquet(path)
    parquet = read_table(path, tmp_path, 0)
    pd.testing.assert_frame_equal(csv.frame.reset_index(drop=True), parquet.frame.reset_index(drop=True))
    assert csv.classes == parquet.classes
    assert parquet.frame.index[0] == f"{path}, row 1"


def test_parquet_cells_may_be_missing_and_ids_numbers(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    content = {"id": [7, 8], "path": ["a.jpg", "b.jpg"], "labels": [["cat"], None], "split": ["train", "val"]}
    pd.DataFrame(content).to_parquet(path)
    manifest = read_table(path, tmp_path, 0)
    assert manifest.frame["id"].tolist() == ["7", "8"]
    assert manifest.frame["labels"].tolist() == [["cat"], []]


def test_classes_are_those_of_training_and_others_are_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, HEADER + "a.jpg,cat;dog,train\nb.jpg,catt,test\n")
    assert error.where == f"{tmp_path}/labels.csv, line 3"
    assert error.found == (
        'labels: "catt" is not in the class list: 1 image with it, the first in split test, '
        "and no training image labelled with it"
    )
    assert error.expected == 'one of "cat", "dog" (the names seen in training, sorted)'
    assert error.remedy.endswith('Did you mean "cat"?')


def test_a_classes_file_beside_the_images_gives_names_and_order(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("dog\n\ncat \n")
    manifest = read(tmp_path, HEADER + "a.jpg,cat;dog,train\n")
    assert manifest.classes == ["dog", "cat"]
    assert manifest.frame["labels"].tolist() == [["dog", "cat"]]
    assert 'labels: "dgo" is not' in refusal(tmp_path, HEADER + "a.jpg,cat;dgo,train\n").found
    assert 'labels: "dgo" is not' in refusal(tmp_path, "path,labels\na.jpg,cat;dgo\n").found
    (tmp_path / "classes.txt").write_text("dog\ncat\ndog\n")
    error = refusal(tmp_path, HEADER + "a.jpg,cat,train\n")
    assert (error.where, error.found) == (
        f"{tmp_path}/classes.txt, line 3",
        '"dog" stands there twice, first in line 1',
    )
    (tmp_path / "classes.txt").write_bytes(b"d\xffg\n")
    assert refusal(tmp_path, HEADER + "a.jpg,cat,train\n").found.startswith("not readable: ")


def test_missing_columns_are_named_with_those_found(tmp_path: Path) -> None:
    error = refusal(tmp_path, "paths,label\na.jpg,cat\n")
    assert error.where == f"{tmp_path}/labels.csv"
    assert error.found == 'no column path and no column labels; columns found: "paths", "label"'
    assert error.remedy.endswith('Is it "paths"?')
    assert 'columns found: "path;labels"' in refusal(tmp_path, "path;labels\na.jpg;cat\n").found


@pytest.mark.parametrize("text", ["", HEADER, HEADER + "\n\n"])
def test_a_table_without_rows_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text).found in ("the data set is empty", _no_columns())


def _no_columns() -> str:
    return "no column path and no column labels; columns found: none"


def test_a_row_with_too_many_cells_is_refused_with_its_line(tmp_path: Path) -> None:
    error = refusal(tmp_path, HEADER + "a.jpg,cat,train\n\nb.jpg,cat,dog,train\n")
    assert (error.where, error.found) == (f"{tmp_path}/labels.csv, line 4", "4 cells")
    assert '"cat,dog"' in error.remedy


@pytest.mark.parametrize(
    ("column", "row"), [("path", " ,x,cat,train"), ("id", "a.jpg,,cat,train"), ("split", "a.jpg,x,cat,")]
)
def test_an_empty_cell_is_refused_where_a_value_is_needed(tmp_path: Path, column: str, row: str) -> None:
    error = refusal(tmp_path, f"path,id,labels,split\n{row}\n")
    assert (error.where, error.found) == (f"{tmp_path}/labels.csv, line 2", f"{column} is empty")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (HEADER + "a.jpg,cat;dog|cow,train\n", 'both ";" and "|" in labels'),
        ("path,labels,path\na,b,c\n", "column path stands there twice"),
        (HEADER + 'a.jpg,"cat,train\n', "not readable as CSV"),
        (b"path,labels\n\xff.jpg,cat\n", 'byte 0xff is not UTF-8 (as Latin-1 it would read "ÿ.jpg,cat")'),
    ],
)
def test_a_table_that_cannot_be_understood_is_refused(tmp_path: Path, text: str | bytes, found: str) -> None:
    assert refusal(tmp_path, text).found.startswith(found)


def test_a_file_that_is_missing_or_no_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a file"):
        read_table(tmp_path / "none.csv", tmp_path, 0)
    (tmp_path / "labels.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match="not readable as parquet"):
        read_table(tmp_path / "labels.parquet", tmp_path, 0)


def test_splits_are_drawn_where_the_table_names_none(tmp_path: Path) -> None:
    path = write_table(tmp_path, images=60, split=False)
    first, again, other = (read_table(path, tmp_path, seed) for seed in (1, 1, 2))
    assert first.frame["split"].tolist() == again.frame["split"].tolist() != other.frame["split"].tolist()
    assert [len(first.rows(split)) for split in ("train", "val", "test")] == pytest.approx([42, 6, 12], abs=2)
    assert all(first.labels(split).any(0).all() for split in first.splits())
    assert first.notes["splits"] == "drawn for data.seed 1, stratified by the labels"
    validate(first, str(path))


def test_unlabelled_images_are_a_split_of_their_own(tmp_path: Path) -> None:
    manifest = read(tmp_path, HEADER + "a.jpg,cat,train\nb.jpg,,unlabelled\n")
    validate(manifest, "labels.csv")
    assert manifest.ids("unlabelled") == ["b.jpg"]
    assert np.array_equal(manifest.labels("unlabelled"), [[0]])
