"""Tables as practitioners have them: what is read, what is said of it, and what is refused with which remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bmix.data.manifest import Manifest
from bmix.sources.class_list import class_list
from bmix.sources.features.read import read_features
from bmix.sources.label_cells import CellRules
from bmix.sources.table.read import read_table
from bmix.support.errors import InputError

LISTS = [["cat", "dog"], ["cat"], ["dog"], ["owl", "dog"], ["owl"], []]
SPLITS = ["train", "train", "train", "train", "test", "train"]
NAMES = ["cat", "dog", "owl"]

Read = Callable[..., Manifest]


def as_table(folder: Path, columns: dict[str, Any], rules: CellRules, classes: str) -> Manifest:
    path = folder / "labels.parquet"
    given = {"path": [f"{n}.jpg" for n in range(len(SPLITS))], "split": SPLITS}
    _write(path, given | columns)
    return read_table(path, folder, 0, {}, rules, classes)


def as_features(folder: Path, columns: dict[str, Any], rules: CellRules, classes: str) -> Manifest:
    path = folder / "set.parquet"
    given = {"features": [[float(n), 1.0] for n in range(len(SPLITS))], "split": SPLITS}
    _write(path, given | columns)
    return read_features(path, {}, 0, None, "keep", rules, class_list(classes, folder))


def _write(path: Path, columns: dict[str, Any]) -> None:
    pq.write_table(pa.table(columns), path)


def matrix(values: list[list[str]] = LISTS) -> np.ndarray:
    return np.array([[name in names for name in NAMES] for names in values])


JOINED = {sign: {"labels": [sign.join(names) for names in LISTS]} for sign in (";", "|", ",", " ", "/")}
READ: dict[str, tuple[dict[str, Any], CellRules, str, str]] = {
    "joined by ;": (JOINED[";"], CellRules(), "auto", 'names joined by ";"'),
    "joined by a comma": (JOINED[","], CellRules(), "auto", 'names joined by ","'),
    "joined by blanks": (JOINED[" "], CellRules(delimiter="space"), "auto", "names joined by a blank"),
    "joined by another sign": (JOINED["/"], CellRules(delimiter="/"), "auto", 'names joined by "/"'),
    "lists": ({"labels": LISTS}, CellRules(), "auto", "lists of names"),
    "lists of a dictionary": (
        {"labels": pa.array(LISTS).cast(pa.list_(pa.dictionary(pa.int8(), pa.string())))},
        CellRules(), "auto", "lists of names",
    ),
    "brackets": ({"labels": [str(names) for names in LISTS]}, CellRules(), "auto", "lists in brackets"),
    "numpy": (
        {"labels": [str(np.array(names, dtype=object)) for names in LISTS]}, CellRules(), "auto", "lists in brackets"
    ),
    "multi-hot": (
        {"labels": matrix().astype(int).tolist()}, CellRules(), "cat,dog,owl",
        "lists of 3 values 0 and 1, in the order of the listed classes",
    ),
    "multi-hot as text": (
        {"labels": [str(row) for row in matrix().astype(int).tolist()]}, CellRules(), "cat,dog,owl",
        "lists of 3 values 0 and 1, in the order of the listed classes",
    ),
    "multi-hot of truths": (
        {"labels": matrix().tolist()}, CellRules(), "cat,dog,owl",
        "lists of 3 values 0 and 1, in the order of the listed classes",
    ),
    "multi-hot without brackets": (
        {"labels": [" ".join(map(str, row)) for row in matrix().astype(int)]}, CellRules(), "cat,dog,owl",
        "lists of 3 values 0 and 1, in the order of the listed classes",
    ),
    "multi-hot in one piece": (
        {"labels": ["".join(map(str, row)) for row in matrix().astype(int)]}, CellRules(), "cat,dog,owl",
        "lists of 3 values 0 and 1, in the order of the listed classes",
    ),
    "numpy's own texts": (
        {"labels": [str([np.str_(name) for name in names]) for names in LISTS]}, CellRules(), "auto",
        "lists in brackets",
    ),
    "class numbers": (
        {"labels": [[NAMES.index(name) for name in names] for names in LISTS]}, CellRules(), "cat,dog,owl",
        "lists of numbers; the numbers count in the listed classes",
    ),
    "class numbers in text": (
        {"labels": ["|".join(str(NAMES.index(name)) for name in names) for names in LISTS]}, CellRules(), "cat,dog,owl",
        'names joined by "|"; the numbers count in the listed classes',
    ),
    "0 and 1": (
        dict(zip(NAMES, matrix().astype(int).T, strict=True)), CellRules(), "auto", '0/1 columns: "cat", "dog", "owl"'
    ),
    "yes and no beside 0 and 1": (
        dict(zip(NAMES, matrix().astype(int).T, strict=True)) | {"dog": np.where(matrix()[:, 1], "Yes", " no")},
        CellRules(), "auto", '0/1 columns: "cat", "dog", "owl"; yes and no in "dog"',
    ),
    "1 and -1": (
        dict(zip(NAMES, np.where(matrix(), 1, -1).T, strict=True)), CellRules(), "auto",
        '0/1 columns: "cat", "dog", "owl"; -1 is absent, since no cell is 0; data.minus_one says otherwise',
    ),
    "1 and blank": (
        dict(zip(NAMES, np.where(matrix(), 1.0, np.nan).T, strict=True)), CellRules(blank_cell="absent"), "auto",
        '0/1 columns: "cat", "dog", "owl"',
    ),
    "crosses": (
        dict(zip(NAMES, np.where(matrix(), "x", "").T, strict=True)), CellRules(), "auto",
        '0/1 columns: "cat", "dog", "owl"; x in "cat", "dog", "owl"',
    ),
    "a word for none": (
        {"labels": ["|".join(names) or "No Finding" for names in LISTS]}, CellRules(no_label="no finding"), "auto",
        'names joined by "|"',
    ),
    "a column for none": (
        dict(zip(NAMES, matrix().astype(int).T, strict=True)) | {"No Finding": (~matrix().any(1)).astype(int)},
        CellRules(no_label="No Finding"), "auto",
        '0/1 columns: "cat", "dog", "owl"; no class, as data.no_label says: "No Finding"',
    ),
    "under another name": ({"tags": JOINED["|"]["labels"]}, CellRules(), "auto", 'names joined by "|"'),
}  # fmt: skip


@pytest.mark.parametrize("read", [as_table, as_features])
@pytest.mark.parametrize("form", READ)
def test_every_form_gives_the_same_labels_in_tables_and_features(tmp_path: Path, read: Read, form: str) -> None:
    columns, rules, classes, how = READ[form]
    manifest = read(tmp_path, columns, rules, classes)
    assert manifest.classes == NAMES
    assert manifest.frame["labels"].tolist() == [sorted(names) for names in LISTS]
    assert manifest.frame["ignore"].tolist() == [[]] * len(LISTS)
    assert manifest.notes["labels"] == how


REFUSED: dict[str, tuple[dict[str, Any], CellRules, str, str]] = {
    "both ; and |": (
        {"labels": ["cat;dog", "cat", "dog", "owl|dog", "owl", ""]}, CellRules(),
        'both ";" and "|" in labels', "data.delimiter",
    ),
    "; and a comma": (
        {"labels": ["cat;dog", "cat", "dog", "owl,dog", "owl;cat", "owl"]}, CellRules(),
        '";" between the names, and "owl,dog" beside "owl", "dog"', 'replace "," by ";"',
    ),
    "blanks": (JOINED[" "], CellRules(), 'one class for each whole cell gives "cat dog"', "data.delimiter to space"),
    "multi-hot without names": (
        {"labels": matrix().astype(int).tolist()}, CellRules(),
        "labels holds lists of 3 values 0 and 1, and nothing says which", "data.classes=",
    ),
    "multi-hot in one piece without names": (
        {"labels": ["".join(map(str, row)) for row in matrix().astype(int)]}, CellRules(),
        "labels holds lists of 3 values 0 and 1, and nothing says which", "data.classes=",
    ),
    "lists glued by Python": (
        {"labels": ["['cat', 'dog' 'owl']", *["['cat']"] * 5]}, CellRules(), "labels: ['cat', 'dog' 'owl'] is not a",
        "correct the cell",
    ),
    "fractions": ({"labels": [0.5] * 6}, CellRules(), "column labels holds values of type double", "names"),
    "lists of fractions": ({"labels": [[0.5, 1.0]] * 6}, CellRules(), "labels holds 0.5", "write names"),
    "a word for none beside a label": (
        {"labels": ["cat;none", "cat", "dog", "none", "owl", ""]}, CellRules(no_label="none"), '"none" beside "cat"',
        "data.no_label",
    ),
    "a word that no row has": (JOINED[";"], CellRules(no_label="N"), 'no row has the label "N"', "auto"),
    "no labels": ({"width": [640] * 6}, CellRules(), "no column labels, and not one 0/1 column per class", "rename"),
}  # fmt: skip


@pytest.mark.parametrize("read", [as_table, as_features])
@pytest.mark.parametrize("form", REFUSED)
def test_what_cannot_be_told_is_refused_in_tables_and_features(tmp_path: Path, read: Read, form: str) -> None:
    columns, rules, found, remedy = REFUSED[form]
    with pytest.raises(InputError) as caught:
        read(tmp_path, columns, rules, "auto")
    assert caught.value.found.startswith(found)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("read", [as_table, as_features])
def test_minus_one_and_blank_cells_mean_what_params_say(tmp_path: Path, read: Read) -> None:
    columns = {"cat": [1, 0, -1, None, 1, 0], "dog": [0, 1, 1, 1, 1, 0]}
    ignored = read(tmp_path, columns, CellRules(), "auto").frame["ignore"].tolist()
    assert ignored == [[], [], ["cat"], ["cat"], [], []]
    absent = read(tmp_path, columns, CellRules(minus_one="absent", blank_cell="absent"), "auto").frame
    assert absent["ignore"].tolist() == [[]] * 6
    assert absent["labels"].tolist()[2:4] == [["dog"], ["dog"]]


@pytest.mark.parametrize("read", [as_table, as_features])
def test_the_source_may_know_what_is_true(tmp_path: Path, read: Read) -> None:
    true = ["cat", "cat", "dog", "owl;dog", "owl;cat", ""]
    frame = read(tmp_path, JOINED[";"] | {"true": true}, CellRules(), "auto").frame
    assert frame["true"].tolist() == [["cat"], ["cat"], ["dog"], ["dog", "owl"], ["cat", "owl"], []]
    with pytest.raises(InputError, match='true: "cow" is not in the class list'):
        read(tmp_path, JOINED[";"] | {"true": ["cow", *true[1:]]}, CellRules(), "auto")


def csv(folder: Path, text: str, rules: CellRules = CellRules(), classes: str = "auto") -> Manifest:  # noqa: B008
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return read_table(path, folder, 0, {}, rules, classes)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_between_columns_is_found_and_told(tmp_path: Path, separator: str) -> None:
    inner = "|" if separator == ";" else ";"
    rows = ["path,labels,split", f"a.jpg,cat{inner}dog,train", "b.jpg,cat,test"]
    manifest = csv(tmp_path, "\n".join(rows).replace(",", separator))
    assert manifest.frame["labels"].tolist() == [["cat", "dog"], ["cat"]]
    assert manifest.notes["form"].startswith("columns separated by ")
    assert csv(tmp_path, "sep=;\npath;labels;split\na.jpg;cat;train\n").frame.index[0].endswith("line 3")


def test_columns_under_other_names_are_read_and_told(tmp_path: Path) -> None:
    manifest = csv(tmp_path, "Image Index,Finding Labels,Age\na.png,cat|dog,58\nb.png,cat,58\nc.png,dog,7\n")
    assert manifest.notes["form"] == 'path in column "Image Index", labels in column "Finding Labels"'
    assert manifest.notes["left alone"] == 'columns "Age"'
    assert manifest.classes == ["cat", "dog"]


def test_a_file_without_names_of_columns_is_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the first line is a row, not the names of the columns"):
        csv(tmp_path, "a.jpg,cat;dog\nb.jpg,cat\n")


@pytest.mark.parametrize(("start", "kind"), [(b"PK\x03\x04", "zip"), (b"PAR1", "parquet"), (b"\x1f\x8b\x08\0", "gzip")])
def test_a_spreadsheet_under_the_name_of_a_csv_is_refused_as_such(tmp_path: Path, start: bytes, kind: str) -> None:
    (tmp_path / "labels.csv").write_bytes(start + bytes(100))
    with pytest.raises(InputError, match=f"{kind}.*, not text") as caught:
        read_table(tmp_path / "labels.csv", tmp_path, 0, {}, CellRules(), "auto")
    assert caught.value.remedy == "save it as CSV, or rename it"


def test_numbers_between_0_and_1_in_a_column_per_class_are_refused_with_the_first_of_them(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        csv(tmp_path, "path,cat,dog\na.jpg,1,0.07\nb.jpg,0.93,0\n")
    assert caught.value.where.endswith("labels.csv, line 3")
    assert caught.value.found == 'column "cat" holds 0.93, a number between 0 and 1'


def test_the_fold_of_a_cross_validation_is_no_class_unless_it_is_listed(tmp_path: Path) -> None:
    rows = "path,cat,fold\na.jpg,1,0\nb.jpg,0,1\n"
    manifest = csv(tmp_path, rows)
    assert manifest.classes == ["cat"]
    assert manifest.notes["labels"] == '0/1 columns: "cat"; left alone: "fold"'
    assert csv(tmp_path, rows, classes="cat,fold").classes == ["cat", "fold"]


def test_splits_under_usual_names_are_read(tmp_path: Path) -> None:
    rows = "a.jpg,cat,Training\nb.jpg,cat,validation\nc.jpg,cat,TEST\n"
    manifest = csv(tmp_path, "path,labels,Split\n" + rows)
    assert manifest.frame["split"].tolist() == ["train", "val", "test"]
    assert manifest.notes["splits"] == '"Training" is train, "validation" is val, "TEST" is test'
    assert csv(tmp_path, "path,labels,subset\n" + rows).frame["split"].tolist() == ["train", "val", "test"]
    fastai = csv(tmp_path, "fname,labels,is_valid\na.jpg,cat,True\nb.jpg,cat,False\nc.jpg,cat,False\n")
    assert fastai.frame["split"].tolist() == ["val", "train", "train"]
    drawn = csv(tmp_path, "path,labels,phase\na.jpg,cat,x\nb.jpg,dog,y\nc.jpg,cat,z\n")
    assert drawn.notes["left alone"].startswith('column "phase", which names no splits')


def test_a_row_per_label_is_joined_and_told(tmp_path: Path) -> None:
    manifest = csv(tmp_path, "filename,width,class,xmin\na.jpg,9,cat,1\nb.jpg,9,owl,1\na.jpg,9,dog,3\na.jpg,9,cat,5\n")
    assert manifest.frame["labels"].tolist() == [["cat", "dog"], ["owl"]]
    assert manifest.notes["repeated"] == "4 rows of 2 images: the labels of an image's rows are joined"
    assert manifest.notes["left alone"] == 'columns "width", "xmin"'


def test_open_images_has_a_row_per_label_with_its_confidence(tmp_path: Path) -> None:
    for name in ("01.jpg", "02.jpg"):
        (tmp_path / name).touch()
    manifest = csv(
        tmp_path,
        "ImageID,Source,LabelName,Confidence\n01,verification,/m/0cat,1\n01,verification,/m/0dog,0\n"
        "02,verification,/m/0dog,1\n01,machine,/m/0owl,0.7\n",
    )
    assert manifest.frame["path"].tolist() == ["01.jpg", "02.jpg"]
    assert manifest.frame["labels"].tolist() == [["/m/0cat", "/m/0owl"], ["/m/0dog"]]
    assert manifest.notes["confidence"] == (
        'column "Confidence": a label counts from 0.5 on; 1 do not, 1 are between 0 and 1'
    )
    assert manifest.notes["left alone"] == 'columns "Source"'


def test_an_image_under_several_ids_is_one(tmp_path: Path) -> None:
    manifest = csv(tmp_path, "id,path,labels\n1,a.jpg,cat;dog\n2,./a.jpg,dog;cat\n3,b.jpg,cat\n4,b.jpg,dog\n")
    assert manifest.frame["id"].tolist() == ["1", "3"]
    assert manifest.frame["labels"].tolist() == [["cat", "dog"], ["cat", "dog"]]


def test_rows_of_one_image_that_disagree_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        csv(tmp_path, "path,cat,dog\na.jpg,1,0\nb.jpg,0,1\na.jpg,0,1\n")
    assert caught.value.where.endswith("line 4")
    assert caught.value.found.startswith('"a.jpg" with "dog", and with "cat" at ')


def test_names_without_a_suffix_or_in_other_letters_are_completed(tmp_path: Path) -> None:
    for name in ("sub/a.JPG", "sub/b.jpeg", "c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    manifest = csv(tmp_path, "path,labels\nsub/a.jpg,cat\nsub/b,dog\nC.png,cat\n")
    assert manifest.frame["path"].tolist() == ["sub/a.JPG", "sub/b.jpeg", "c.png"]
    assert manifest.notes["paths"].startswith("3 names completed by what the files are called")
    (tmp_path / "sub/b.png").touch()
    with pytest.raises(InputError, match=r'"sub/b" may be sub/b\.jpeg or sub/b\.png'):
        csv(tmp_path, "path,labels\nsub/b,dog\nc,cat\n")


def test_paths_that_start_at_the_folder_around_the_root_are_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "a.jpg").touch()
    (tmp_path / "labels.csv").write_text("path,labels\nimg/a.jpg,cat\n")
    with pytest.raises(InputError) as caught:
        read_table(tmp_path / "labels.csv", tmp_path / "img", 0)
    assert caught.value.remedy == f"set data.root to {tmp_path}"


def test_other_columns_of_words_are_left_alone_and_told(tmp_path: Path) -> None:
    rows = "a.jpg,1,F,PA\nb.jpg,0,F,AP\nc.jpg,0,F,PA\nd.jpg,1,M,PA\n"
    manifest = csv(tmp_path, "path,cat,Sex,View\n" + rows)
    assert manifest.notes["labels"] == '0/1 columns: "cat"; left alone: "Sex", "View"'
    with pytest.raises(InputError, match='column "Sex" holds "M", and t or f in most rows'):
        csv(tmp_path, "path,cat,Sex,View\n" + rows, classes="cat,Sex")
    with pytest.raises(InputError, match='no column "dog", which is listed as a class'):
        csv(tmp_path, "path,cat,Sex,View\n" + rows, classes="cat,dog")


def test_columns_beside_labels_under_another_name_leave_it_open_what_the_labels_are(tmp_path: Path) -> None:
    text = "path,category,cat,dog\na.jpg,indoor,1,0\nb.jpg,outdoor,0,1\nc.jpg,indoor,0,0\n"
    with pytest.raises(InputError, match='both the column "category" and the 0/1 columns "cat", "dog"'):
        csv(tmp_path, text)
    assert csv(tmp_path, text, classes="cat,dog").classes == ["cat", "dog"]


def test_a_listed_class_explains_other_names(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        csv(tmp_path, "path,labels\na.jpg,cat dog\nb.jpg,cat\n", classes="cat,dog")
    assert caught.value.remedy.startswith("set data.delimiter to space, or correct the name")
    with pytest.raises(InputError) as caught:
        csv(tmp_path, "path,labels\na.jpg,No Finding\nb.jpg,cat\n", classes="cat,dog")
    assert caught.value.remedy.startswith('where it means no label, set data.no_label to "No Finding"; else')


def test_names_of_class_numbers_stand_in_files_of_hugging_face(tmp_path: Path) -> None:
    feature = '{"feature": {"names": ["cat", "dog", "owl"], "_type": "ClassLabel"}, "_type": "Sequence"}'
    told = {b"huggingface": f'{{"info": {{"features": {{"labels": {feature}}}}}}}'.encode()}
    columns = {"path": ["a.jpg", "b.jpg"], "labels": [[0, 2], [1]], "split": ["train", "train"]}
    pq.write_table(pa.table(columns).replace_schema_metadata(told), tmp_path / "labels.parquet")
    manifest = read_table(tmp_path / "labels.parquet", tmp_path, 0)
    assert manifest.classes == NAMES
    assert manifest.frame["labels"].tolist() == [["cat", "owl"], ["dog"]]


def test_pictures_inside_a_table_are_refused_with_the_way_out(tmp_path: Path) -> None:
    pictures = pa.array([{"bytes": b"x", "path": "a.jpg"}])
    pq.write_table(pa.table({"image": pictures, "label": ["cat"]}), tmp_path / "labels.parquet")
    with pytest.raises(InputError, match=r"(?s)the pictures themselves, not their paths.*data\.source to parquet"):
        read_table(tmp_path / "labels.parquet", tmp_path, 0)
    paths = pa.array([{"bytes": None, "path": f"{n}.jpg"} for n in range(2)])
    pq.write_table(pa.table({"image": paths, "label": ["cat", "dog"]}), tmp_path / "labels.parquet")
    assert read_table(tmp_path / "labels.parquet", tmp_path, 0).frame["path"].tolist() == ["0.jpg", "1.jpg"]


@pytest.mark.parametrize("name", [None, "number", "index"])
def test_the_index_of_a_pandas_table_is_no_feature(tmp_path: Path, name: str | None) -> None:
    frame = pd.DataFrame(
        {"a": [0.5, 1.5, 2.5, 3.5], "b": [1.0, 2.0, 3.0, 4.0], "labels": ["cat", "dog", "cat;dog", ""]}
    )
    frame[frame.index != 1].rename_axis(name).to_parquet(tmp_path / "set.parquet")
    manifest = read_features(tmp_path / "set.parquet", {}, 0, None)
    assert manifest.notes["numbers"] == 'columns "a", "b"'
    assert manifest.notes["form"] == f'the index of pandas, "{name or "__index_level_0__"}", left alone'
    frame.reset_index().to_parquet(tmp_path / "set.parquet")
    assert read_features(tmp_path / "set.parquet", {}, 0, None).notes["numbers"] == 'columns "a", "b"'


def test_of_columns_of_numbers_those_of_0_and_1_are_classes_unless_the_classes_are_listed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.random(12), "flag": [0, 1] * 6, "cat": [1, 1, 0] * 4, "phase": rng.random(12)})
    frame[frame.index != 3].to_parquet(tmp_path / "set.parquet")
    manifest = read_features(tmp_path / "set.parquet", {}, 0, None)
    assert manifest.classes == ["flag", "cat"]
    assert manifest.notes["features"] == "1 stored view of 2 numbers, float32"
    assert manifest.notes["numbers"].startswith('columns "a", "phase", since they hold other values than 0 and 1')
    listed = read_features(tmp_path / "set.parquet", {}, 0, None, listed=class_list("cat", tmp_path))
    assert (listed.classes, listed.notes["features"][:26]) == (["cat"], "1 stored view of 3 numbers")
    frame[["flag", "cat"]].to_parquet(tmp_path / "set.parquet")
    with pytest.raises(InputError, match=r"(?s)no features among the columns.*list the classes in data\.classes"):
        read_features(tmp_path / "set.parquet", {}, 0, None)
