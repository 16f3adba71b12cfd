from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.data.label_lists import label_lists, label_matrix
from bmix.data.manifest import COLUMNS, Manifest, path_fault, read_manifest, validate, write_manifest
from bmix.support.errors import InputError
from tests.helpers.tiny import read_written

CLASSES = ["bird", "cat", "dog"]


def small(**columns: list) -> Manifest:
    content = {
        "id": ["a", "b", "c", "d"],
        "path": ["a.jpg", "sub/b.jpg", "c.png", "d.png"],
        "split": ["train", "val", "train", "test-hard"],
        "labels": [["bird", "cat"], [], ["dog"], ["cat"]],
        "ignore": [[], ["dog"], ["cat"], []],
        "digest": ["0" * 16] * 4,
    }
    return Manifest(pd.DataFrame(content | columns)[COLUMNS], CLASSES)


def refusal(manifest: Manifest) -> InputError:
    with pytest.raises(InputError) as caught:
        validate(manifest, "birds.csv")
    return caught.value


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    manifest = small()
    write_manifest(manifest, tmp_path)
    back = read_manifest(tmp_path)
    pd.testing.assert_frame_equal(back.frame, manifest.frame, check_dtype=False)
    assert back.classes == CLASSES
    assert all(isinstance(row, list) for row in [*back.frame["labels"], *back.frame["ignore"]])


def test_true_labels_come_back_where_there_are_any(tmp_path: Path) -> None:
    known = small()
    known.frame["true"] = [["bird"], [], [], ["cat"]]
    write_manifest(known, tmp_path)
    back = read_manifest(tmp_path)
    assert back.frame["true"].tolist() == [["bird"], [], [], ["cat"]]
    assert back.true_labels("train").tolist() == [[1, 0, 0], [0, 0, 0]]  # type: ignore[union-attr]
    assert small().true_labels("train") is None
    known.frame["true"] = [["bird"], [], ["cow"], ["cat"]]
    error = refusal(known)
    assert (error.where, error.found) == ("birds.csv, row 3", 'true: "cow" is not in the class list')


def test_equal_manifests_have_equal_bytes(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        write_manifest(small(), tmp_path / folder)
    assert read_written(tmp_path / "first") == read_written(tmp_path / "second")


def test_lists_without_any_name_keep_their_type(tmp_path: Path) -> None:
    import pyarrow.parquet

    write_manifest(small(ignore=[[]] * 4), tmp_path)
    schema = pyarrow.parquet.read_schema(tmp_path / "manifest.parquet")
    assert schema.field("ignore").type == schema.field("labels").type
    assert read_manifest(tmp_path).frame["ignore"].tolist() == [[]] * 4


def test_rows_of_a_split_keep_the_manifest_order() -> None:
    manifest = small()
    assert manifest.ids("train") == ["a", "c"]
    assert manifest.paths("train") == ["a.jpg", "c.png"]
    assert manifest.labels("train").tolist() == [[1, 1, 0], [0, 0, 1]]
    assert manifest.labels("train").dtype == np.uint8
    assert manifest.ignored("train").tolist() == [[False, False, False], [False, True, False]]
    assert manifest.labels("test").shape == (0, 3)
    assert manifest.splits() == ["train", "val", "test-hard"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from(CLASSES), unique=True), max_size=12))
def test_label_matrix_equals_a_loop_and_label_lists_is_its_inverse(lists: list[list[str]]) -> None:
    expected = np.zeros((len(lists), 3), np.uint8)
    for row, names in enumerate(lists):
        for name in names:
            expected[row, CLASSES.index(name)] = 1
    labels = label_matrix(lists, CLASSES)
    np.testing.assert_array_equal(labels, expected)
    assert label_lists(labels, CLASSES) == [sorted(names) for names in lists]


def test_label_matrix_refuses_a_name_outside_the_classes() -> None:
    with pytest.raises(InputError, match=r'"cow" is not in the class list'):
        label_matrix([["cat"], ["dog", "cow"]], CLASSES)


def test_a_sound_manifest_is_accepted() -> None:
    validate(small(), "birds.csv")


def test_an_empty_data_set_is_refused() -> None:
    error = refusal(Manifest(pd.DataFrame(columns=COLUMNS), CLASSES))
    assert error.where == "birds.csv"
    assert error.found == "the data set is empty"


def test_a_duplicate_id_is_refused_with_both_rows() -> None:
    error = refusal(small(id=["a", "b", "b", "d"]))
    assert error.where == "birds.csv, row 3"
    assert error.found == 'id "b" is already used at birds.csv, row 2'


def test_the_origin_of_a_row_is_named_where_it_is_known() -> None:
    manifest = small(id=["a", "b", "b", "d"])
    manifest.frame.index = pd.Index([f"list.txt, line {n}" for n in (2, 5, 9, 11)], name="origin")
    error = refusal(manifest)
    assert error.where == "list.txt, line 9"
    assert "list.txt, line 5" in error.found


@pytest.mark.parametrize("column", ["labels", "ignore"])
def test_a_label_outside_the_class_list_is_refused_with_the_nearest(column: str) -> None:
    lists = [["bird", "cat"], [], ["dog"], []] if column == "labels" else [[], [], [], []]
    error = refusal(small(**{column: [*lists[:3], ["brid"]]}))
    assert error.where == "birds.csv, row 4"
    assert error.found == f'{column}: "brid" is not in the class list'
    assert error.remedy.endswith('Did you mean "bird"?')


def test_a_label_that_is_also_ignored_is_refused() -> None:
    error = refusal(small(ignore=[["cat"], [], [], []]))
    assert error.where == "birds.csv, row 1"
    assert error.found == '"cat" in labels and in ignore'


@pytest.mark.parametrize(("split", "nearest"), [("Train", "train"), ("vall", "val"), ("unlabeled", "unlabelled")])
def test_an_unknown_split_is_refused_with_the_nearest(split: str, nearest: str) -> None:
    error = refusal(small(split=["train", split, "train", "test"]))
    assert error.where == "birds.csv, row 2"
    assert error.found == f'split "{split}"'
    assert error.remedy.endswith(f'Did you mean "{nearest}"?')


def test_a_data_set_without_training_images_is_refused() -> None:
    nothing_to_train = small(split=["val", "val", "test", "test"])
    assert refusal(nothing_to_train).found == "no image in split train"
    # Where the classes are those of the training images, there are none.
    assert refusal(Manifest(nothing_to_train.frame, [])).found == "no image in split train"


@pytest.mark.parametrize("labels", [[[], [], [], []], [[], ["cat"], [], []]])
def test_a_data_set_without_classes_is_refused(labels: list[list[str]]) -> None:
    error = refusal(Manifest(small(labels=labels, ignore=[[]] * 4).frame, []))
    assert (error.where, error.found) == ("birds.csv", "no label in split train")


def test_classes_without_a_positive_in_training_are_named() -> None:
    error = refusal(small(labels=[["cat"], ["bird"], [], []], ignore=[[], [], ["dog"], []]))
    assert error.found == 'no positive in split train for "bird", "dog"'


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("", "is empty"),
        ("/etc/passwd", "is absolute"),
        ("C:/images/a.jpg", "is absolute"),
        ("../a.jpg", "may leave the root by '..'"),
        ("sub/../../a.jpg", "may leave the root by '..'"),
        ("sub\\a.jpg", "has a backslash; write / between folders"),
        ("a\0.jpg", "has a null character"),
    ],
)
def test_a_path_that_may_leave_the_root_is_refused(path: str, fault: str) -> None:
    error = refusal(small(path=["a.jpg", path, "c.png", "d.png"]))
    assert error.where == "birds.csv, row 2"
    assert error.found == f'path "{path}" {fault}'


@pytest.mark.parametrize("path", ["a.jpg", "sub/b..c.jpg", "...jpg", "Ünï cödé/ä.png"])
def test_ordinary_paths_have_no_fault(path: str) -> None:
    assert path_fault(path) == ""


def test_a_missing_or_foreign_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_manifest(tmp_path)
    write_manifest(small(), tmp_path)
    small().frame.drop(columns="ignore").to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(InputError, match='no column "ignore"'):
        read_manifest(tmp_path)
    (tmp_path / "manifest.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="not readable"):
        read_manifest(tmp_path)
