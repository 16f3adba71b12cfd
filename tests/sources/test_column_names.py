from __future__ import annotations

import pytest

from bmix.sources.column_names import find_roles, form_note, is_index
from bmix.support.errors import InputError


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        (["true", "path", "id", "ignore"], {"path": "path", "id": "id", "ignore": "ignore", "true": "true"}),
        (["filename", "cat", "dog"], {"path": "filename"}),
        (["Image Index", "Finding Labels", "Patient ID"], {"path": "Image Index", "labels": "Finding Labels"}),
        (["ImageID", "Source", "LabelName", "Confidence"], {"path": "ImageID", "labels": "LabelName"}),
        (["image_id", "file_name", "tags"], {"path": "file_name", "labels": "tags"}),
        (["Id", "Target"], {"path": "Id", "labels": "Target"}),
        (["Path", "Sex", "No Finding"], {"path": "Path"}),
        (["fname", "labels", "is_valid"], {"path": "fname", "labels": "labels", "split": "is_valid"}),
        (["path", "image", "labels", "label"], {"path": "path", "labels": "labels"}),
        (["path", "labels", "subset", "partition"], {"path": "path", "labels": "labels"}),
        (["img_path", "Labels", "Split"], {"path": "img_path", "split": "Split", "labels": "Labels"}),
    ],
)
def test_columns_have_the_role_that_their_name_usually_means(names: list[str], roles: dict[str, str]) -> None:
    assert find_roles(names, "labels.csv") == roles


@pytest.mark.parametrize("names", [["file", "image_path"], ["path", "label", "tags"], ["image", "img", "labels"]])
def test_two_columns_with_an_equal_claim_are_refused(names: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        find_roles(names, "labels.csv")
    assert caught.value.where == "labels.csv"
    assert caught.value.found.startswith("the columns ")
    assert caught.value.remedy.startswith("rename the right one to ")


def test_without_images_an_id_is_no_path() -> None:
    assert find_roles(["id", "labels"], "set.parquet", needs_path=False) == {"id": "id", "labels": "labels"}
    assert find_roles(["id", "labels"], "labels.csv") == {"path": "id", "labels": "labels"}


def test_what_has_another_name_is_noted() -> None:
    assert form_note({"path": "filename", "labels": "labels"}) == 'path in column "filename"'
    assert form_note({"path": "path"}) == ""


@pytest.mark.parametrize(
    ("name", "index"), [("", True), ("Unnamed: 0", True), ("__index_level_0__", True), ("Unnamed", False), ("x", False)]
)
def test_the_index_of_a_pandas_table_is_known(name: str, index: bool) -> None:
    assert is_index(name) == index
