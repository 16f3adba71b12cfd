from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.data.manifest import COLUMNS, Manifest, validate
from bmix.sources.table.read import read_table
from bmix.support.errors import InputError
from tests.helpers.table import CLASSES, ROWS, write_every_form
from tests.helpers.tiny import write_table

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
        '"dog" is duplicated, first in line 1',
    )
    (tmp_path / "classes.txt").write_bytes(b"d\xffg\n")
    assert refusal(tmp_path, HEADER + "a.jpg,cat,train\n").found.startswith("not readable: ")


def test_missing_columns_are_named_with_those_found(tmp_path: Path) -> None:
    error = refusal(tmp_path, "paths,label\na.jpg,cat\n")
    assert error.where == f"{tmp_path}/labels.csv"
    assert error.found == 'no column path; columns found: "paths", "label"'
    assert error.remedy.endswith('Is it "paths"?')
    assert 'columns found: "paths;labels"' in refusal(tmp_path, "paths;labels\na.jpg;cat\n").found


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
        ("path,labels,path\na,b,c\n", "column path is duplicated"),
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


@pytest.mark.slow
def test_every_form_of_a_table_gives_the_same_manifest(tmp_path: Path) -> None:
    forms = write_every_form(tmp_path)
    for name, path in forms.items():
        manifest = read_table(path, tmp_path, 0)
        validated = manifest.frame[["path", "labels", "split"]].to_numpy().tolist()
        assert validated == [list(row) for row in ROWS], name
        assert manifest.classes == CLASSES, name
        unit, first = ("row", 1) if path.suffix == ".parquet" else ("line", 1 if path.suffix == ".jsonl" else 2)
        assert manifest.frame.index.tolist() == [f"{path}, {unit} {first + row}" for row in range(len(ROWS))], name
    notes = {name: read_table(path, tmp_path, 0).notes.get("labels") for name, path in forms.items()}
    assert notes["columns.csv"] == notes["columns.parquet"] == '0/1 columns: "bird", "cat", "dog"'
    assert notes["brackets.csv"] == notes["python.tsv"] == "lists in brackets"
    assert notes["joined.jsonl"] == 'names joined by ";"'


def test_cells_of_class_columns_may_be_unknown_and_other_columns_are_left_alone(tmp_path: Path) -> None:
    manifest = read(
        tmp_path, "path,split,cat,width,dog,ignore\na,train,1,640,TRUE,\nb,train,-1,480,,\nc,train,0,1,false,cat\n"
    )
    assert manifest.classes == ["cat", "dog"]
    assert manifest.frame["labels"].tolist() == [["cat", "dog"], [], []]
    assert manifest.frame["ignore"].tolist() == [[], ["cat", "dog"], ["cat"]]
    assert manifest.notes["labels"] == '0/1 columns: "cat", "dog"; left alone: "width"'
    (tmp_path / "classes.txt").write_text("dog\n")
    assert read(tmp_path, "path,split,cat,dog\na,train,1,1\n").frame["labels"].tolist() == [["dog"]]


@pytest.mark.parametrize(
    ("cells", "value"), [(("1", "0", "2"), "2"), (("1", "0", "yes"), "yes"), (("0", "0", "-2"), "-2")]
)
def test_another_value_in_a_class_column_is_refused(tmp_path: Path, cells: tuple[str, ...], value: str) -> None:
    rows = "".join(f"{number}.jpg,{cell},train\n" for number, cell in enumerate(cells))
    error = refusal(tmp_path, "path,cat,split\n" + rows)
    assert error.where == f"{tmp_path}/labels.csv, line 4"
    assert error.found == f'column "cat" holds "{value}", and 0 or 1 in most rows'


def test_a_misspelt_column_of_labels_is_not_passed_over_for_one_of_0_and_1(tmp_path: Path) -> None:
    error = refusal(tmp_path, "path,label,blurred,split\na.jpg,cat,0,train\nb.jpg,dog,1,train\n")
    assert error.found == 'both the column "label" and the 0/1 columns "blurred" may hold the labels'
    assert error.remedy.startswith('rename "label" to labels')


def test_values_of_split_are_mapped_and_others_left_out(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(HEADER + "a.jpg,cat,2007\nb.jpg,dog,extra\nc.jpg,cat,2012\nd.jpg,dog,2008\n")
    manifest = read_table(path, tmp_path, 0, {"2007": "train", "2008": "train", "2012": "unlabelled"})
    assert manifest.frame[["id", "split"]].to_numpy().tolist() == [
        ["a.jpg", "train"], ["c.jpg", "unlabelled"], ["d.jpg", "train"],
    ]  # fmt: skip
    assert manifest.frame["labels"].tolist() == [["cat"], [], ["dog"]]
    assert manifest.frame.index[2] == f"{path}, line 5"
    assert manifest.notes["left out"] == '1 rows of the parts "extra", which data.splits does not name'
    assert manifest.notes["unlabelled"] == "the labels of 1 images in split unlabelled are left out"
    with pytest.raises(InputError, match='part "2009" is not in'):
        read_table(path, tmp_path, 0, {"2009": "train"})
    path.write_text("path,labels\na.jpg,cat\n")
    with pytest.raises(InputError, match="has no column split"):
        read_table(path, tmp_path, 0, {"2009": "train"})


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ('"[""cat"", ""dog""]"', ["cat", "dog"]),
        ("\"['dog', 'cat']\"", ["cat", "dog"]),
        ("[]", []),
        ("", []),
        ('"[""a;b"", ""it\'s""]"', ["a;b", "it's"]),
    ],
)
def test_lists_in_brackets_are_read(tmp_path: Path, cell: str, names: list[str]) -> None:
    manifest = read(tmp_path, HEADER + f"""a.jpg,{cell},train\nb.jpg,"['cat']",train\n""")
    assert manifest.frame["labels"].iloc[0] == names


@pytest.mark.parametrize("cell", ["cat", "[cat]", "[1]", "\"['cat', 1]\"", "[__import__('os')]", "['cat'", "[" * 500])
def test_what_is_no_list_of_names_in_brackets_is_refused(tmp_path: Path, cell: str) -> None:
    error = refusal(tmp_path, HEADER + f"a.jpg,['cat'],train\nb.jpg,{cell},train\n")
    assert error.where == f"{tmp_path}/labels.csv, line 3"
    assert "is not a list of names" in error.found


def test_a_line_in_another_encoding_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path, HEADER.encode() + "a.jpg,cat,train\r\nb.jpg,Käfer,train\r\n".encode("latin-1"))
    assert error.where == f"{tmp_path}/labels.csv, line 3"
    assert error.found == 'byte 0xe4 is not UTF-8 (as Latin-1 it would read "b.jpg,Käfer,train")'
    assert refusal(tmp_path, HEADER.encode("utf-16")).found == "text in UTF-16"


def test_a_quote_that_is_not_closed_is_named_with_the_line_where_its_row_starts(tmp_path: Path) -> None:
    rows = "".join(f"{number}.jpg,cat,train\n" for number in range(20))
    error = refusal(tmp_path, HEADER + 'x.jpg,"cat\ndog",train\ny.jpg,"cat,train\n' + rows)
    assert error.where == f"{tmp_path}/labels.csv, line 4"
    assert error.found == "not readable as CSV: unexpected end of data"


def test_a_row_over_several_lines_is_placed_where_it_ends(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER + 'a.jpg,"cat\n",train\n').frame.index.tolist() == [f"{tmp_path}/labels.csv, line 3"]


@pytest.mark.parametrize(
    ("text", "where", "found"),
    [
        (HEADER + "a.jpg,c\0at,train\n", ", line 2", "column labels has a null character"),
        (HEADER + "a.jpg,cat\n", ", line 2", "2 cells"),
        ("path,cat,cat\na.jpg,0,1\n", "", "column cat is duplicated"),
        ("path,split\na.jpg,train\n", "", "no column labels, and not one 0/1 column per class instead"),
    ],
)
def test_other_faults_of_csv_are_refused(tmp_path: Path, text: str, where: str, found: str) -> None:
    error = refusal(tmp_path, text)
    assert error.where == f"{tmp_path}/labels.csv{where}"
    assert error.found.startswith(found)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"path": "b.jpg", "labels": ["cat"]', "not readable as JSON: Expecting ',' delimiter at character 36"),
        ('["b.jpg"]', '["b.jpg"] is not an object'),
        ('{"path": "b.jpg", "path": "c.jpg"}', 'not readable as JSON: key "path" is duplicated'),
        ('{"path": "b.jpg", "labels": 3}', "labels is 3"),
        ('{"path": "b.jpg", "labels": ["cat", 3]}', 'labels is ["cat", 3]'),
        ('{"path": "b.jpg", "labels": "cat"}', 'labels is "cat", text, unlike in the rows before'),
        ('{"path": true, "labels": []}', "path is true"),
        ('{"path": "b.jpg", "labels": ["\\ud800"]}', "not readable as JSON: 'utf-8' codec"),
        ('{"path": "b.jpg", "labels": ["c\\u0000"]}', "column labels has a null character"),
        ('{"labels": ["cat"]}', "path is empty"),
        ("[" * 100_000, "not readable as JSON"),
    ],
)
def test_a_broken_line_of_jsonl_is_named(tmp_path: Path, line: str, found: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"path": "a.jpg", "labels": ["cat"]}\n\n' + line + "\n")
    with pytest.raises(InputError) as caught:
        read_table(path, tmp_path, 0)
    assert caught.value.where == f"{path}, line 3"
    assert caught.value.found.startswith(found)


def test_jsonl_takes_byte_order_mark_windows_line_ends_missing_and_late_keys(tmp_path: Path) -> None:
    rows = [{"path": "a", "split": "train", "labels": ["cat"]}, {"path": "b", "split": "train"}]
    rows.append({"path": 7, "split": "train", "labels": None, "ignore": ["cat"]})
    path = tmp_path / "labels.ndjson"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(json.dumps(row) for row in rows).encode())
    frame = read_table(path, tmp_path, 0).frame
    assert frame["labels"].tolist() == [["cat"], [], []]
    assert frame["ignore"].tolist() == [[], [], ["cat"]]
    assert frame["id"].tolist() == ["a", "b", "7"]


def test_an_unknown_suffix_and_types_without_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.xlsx"
    path.write_bytes(b"PK")
    with pytest.raises(InputError, match=r"ends in \.xlsx"):
        read_table(path, tmp_path, 0)
    path = tmp_path / "labels.parquet"
    pd.DataFrame({"path": ["a"], "labels": [3.5]}).to_parquet(path)
    with pytest.raises(InputError, match="column labels holds values of type double"):
        read_table(path, tmp_path, 0)
    pd.DataFrame({"path": [["a"]], "labels": ["cat"]}).to_parquet(path)
    with pytest.raises(InputError, match="column path: values of type list"):
        read_table(path, tmp_path, 0)


NAMES = st.sampled_from(["cat", "dog", " cat ", "bird", "", "Käfer", "cow"])


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.lists(NAMES, max_size=4), st.lists(NAMES, max_size=2)), min_size=1, max_size=12))
def test_labels_and_ignore_equal_an_obvious_loop(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[list[str], list[str]]]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    everything = ["bird", "cat", "cow", "dog", "Käfer"]
    lines = [f"{number}.jpg,train,{'|'.join(row)},{'|'.join(other)}" for number, (row, other) in enumerate(rows)]
    manifest = read(folder, "path,split,labels,ignore\nx.jpg,train," + "|".join(everything) + ",\n" + "\n".join(lines))
    for column, cells in (("labels", [row for row, _ in rows]), ("ignore", [other for _, other in rows])):
        expected = [sorted({name.strip() for name in cell} - {""}) for cell in cells]
        assert manifest.frame[column].tolist()[1:] == expected


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_mutated_table_gives_a_manifest_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    if not folder.exists():
        folder.mkdir()
        write_every_form(folder)
    source = data.draw(st.sampled_from(sorted(path for path in folder.iterdir() if path.stem != "mutated")))
    content = source.read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 6)))
        piece = data.draw(
            st.one_of(st.binary(max_size=4), st.sampled_from([b'"', b"[", b",", b"\r", b"\0", b"\\ud800"]))
        )
        content = content[:start] + piece + content[end:]
    mutated = folder / f"mutated{source.suffix}"
    mutated.write_bytes(content)
    try:
        manifest = read_table(mutated, folder, 0, data.draw(st.sampled_from([{}, {"train": "train", "test": "val"}])))
    except InputError:
        return
    assert manifest.frame.columns.tolist() == COLUMNS
