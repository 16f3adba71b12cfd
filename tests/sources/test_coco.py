from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.data.manifest import COLUMNS, Manifest, label_lists, validate
from bmix.sources.coco.read import read_coco
from bmix.sources.facts import facts
from bmix.sources.verify import verify
from bmix.support.errors import InputError
from tests.helpers.coco import CATEGORIES, CLASSES, write_coco, write_instances

TRAIN = {"train2014": "train"}


def read(annotations: Path, split_of: dict[str, str] | None = None, crowd: bool = True) -> Manifest:
    manifest = read_coco(annotations, annotations.parent, split_of or {}, crowd)
    validate(manifest, str(annotations))
    return manifest


def refusal(annotations: Path, split_of: dict[str, str] | None = None, root: Path | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        validate(read_coco(annotations, root or annotations.parent, split_of or {}, True), str(annotations))
    return caught.value


def content_of(annotations: Path, part: str = "train2014") -> dict[str, Any]:
    return dict(json.loads((annotations / f"instances_{part}.json").read_text()))


def test_the_published_layout_is_read_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotations = write_coco(tmp_path, unlabelled=5)
    manifest = read(annotations)
    assert {split: len(manifest.rows(split)) for split in manifest.splits()} == {
        "train": 32, "val": 16, "unlabelled": 5,
    }  # fmt: skip
    assert manifest.classes == CLASSES == [CATEGORIES[number] for number in sorted(CATEGORIES)]
    assert manifest.paths("train")[0] == "train2014/COCO_train2014_000000000016.jpg"
    assert manifest.ids("train")[:2] == ["16", "23"]
    assert not any(manifest.rows("unlabelled")["labels"])
    assert manifest.frame.index[0] == f"{annotations}/instances_train2014.json, images[0] (id 16)"
    assert manifest.notes["splits"] == "train from train2014, val from val2014, unlabelled from unlabeled2014"
    verify(manifest, tmp_path, str(annotations))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("crowd", [True, False])
def test_labels_are_the_categories_with_an_annotation(tmp_path: Path, crowd: bool) -> None:
    annotations = write_coco(tmp_path)
    content = content_of(annotations)
    content["annotations"].append({**content["annotations"][0], "id": 999, "category_id": 90, "iscrowd": 1})
    content["annotations"].append({"id": 1000, "image_id": 16, "category_id": 62})
    content["images"].append({"id": 5, "file_name": "empty.jpg"})
    write_instances(annotations, "train2014", content)
    manifest = read(annotations, crowd=crowd)
    for row in manifest.rows("train").itertuples():
        expected = set()
        for annotation in content["annotations"]:
            if str(annotation["image_id"]) == row.id and (crowd or not annotation.get("iscrowd")):
                expected.add(CATEGORIES[annotation["category_id"]])
        assert row.labels == [name for name in CLASSES if name in expected]
    assert ("toothbrush" in manifest.frame["labels"].iloc[0]) == crowd
    assert manifest.rows("train")["labels"].iloc[-1] == []


def test_parts_make_the_splits_they_are_given(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path, {"train2014": 16, "val2014": 8, "train2017": 8}, unlabelled=3)
    manifest = read(annotations, {"val2014": "test", "train2014": "train", "train2017": "unlabelled"})
    assert manifest.frame["split"].unique().tolist() == ["test", "train", "unlabelled"]
    assert len(manifest.rows("unlabelled")) == 8
    assert not any(manifest.rows("unlabelled")["labels"])
    error = refusal(annotations)
    assert (error.where, error.remedy) == (
        "data.splits",
        "say which part makes which split, e.g. data.splits: train=train2014 test=val2014",
    )
    assert "parts of several years" in error.found
    error = refusal(annotations, {"train2014": "train", "unlabeled2014": "val"})
    assert error.found.endswith("has no instances_unlabeled2014.json, only image_info_unlabeled2014.json")
    error = refusal(annotations, {"train2015": "train"})
    assert error.found == f'part "train2015" is not in {annotations}'
    assert 'Did you mean "train2017"?' in error.remedy


def test_an_image_in_two_parts_is_refused(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path)
    content = content_of(annotations, "val2014")
    content["images"][0]["id"] = 16
    content["annotations"] = []
    write_instances(annotations, "val2014", content)
    assert refusal(annotations).found.startswith('id "16" was already used at ')


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path)
    expected = read(annotations).frame
    path = annotations / "instances_train2014.json"
    text = json.dumps(json.loads(path.read_text()), indent=1).replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    pd.testing.assert_frame_equal(read(annotations).frame, expected)


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "where", "found"),
    [
        (lambda c: c.pop("images"), "", 'no key "images", but "info", "licenses", "ann'),
        (lambda c: c.update(annotations={}), ", annotations", "a JSON object"),
        (lambda c: c["images"].insert(2, None), ", images[2]", "a JSON null"),
        (lambda c: c["images"][1].pop("file_name"), ", images[1] (id 23)", 'no key "file_name", but "lic'),
        (lambda c: c["images"][1].update(file_name="/etc/passwd"), ", images[1] (id 23)", "is absolute"),
        (lambda c: c["images"][1].update(file_name="../../x.jpg"), ", images[1] (id 23)", "may leave the root"),
        (lambda c: c["images"][0].update(id="16"), ", images[0]", 'id "16"'),
        (lambda c: c["images"][0].update(id=True), ", images[0]", "id true"),
        (lambda c: c["images"].append(c["images"][0]), ", images[32] (id 16)", 'id "16" was already used'),
        (lambda c: c["categories"].clear(), ", categories", "an empty list"),
        (lambda c: c["categories"][1].update(name="dog"), ", categories[1] (id 1)", 'name "dog", as in categories[0]'),
        (lambda c: c["categories"][1].update(id=18), ", categories[1] (id 18)", "id 18, as in categories[0]"),
        (lambda c: c["categories"][1].update(name=" "), ", categories[1] (id 1)", "name is empty"),
        (lambda c: c["annotations"][3].update(image_id=1), ", annotations[3] (id 4)", "image_id 1 is not in images"),
        (lambda c: c["annotations"][0].update(category_id=2), ", annotations[0] (id 1)", "category_id 2 is not in cat"),
        (lambda c: c["annotations"][0].pop("category_id"), ", annotations[0] (id 1)", 'no key "category_id"'),
        (lambda c: c["annotations"][0].update(category_id=None), ", annotations[0] (id 1)", "category_id null"),
        (lambda c: c["annotations"][0].update(iscrowd=[1]), ", annotations[0] (id 1)", "iscrowd [1]"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_named(tmp_path: Path, change: Change, where: str, found: str) -> None:
    annotations = write_coco(tmp_path)
    content = content_of(annotations)
    change(content)
    path = write_instances(annotations, "train2014", content)
    error = refusal(annotations)
    assert error.where == f"{path}{where}"
    assert found in error.found
    assert error.remedy


@pytest.mark.parametrize(
    ("data", "where", "found"),
    [
        (b'{"images": [\n{"id": 1,}]}', ", line 2, column 9", "trailing comma"),
        (b"", ", line 1, column 1", "empty document"),
        (b'{"images": [', ", line 1, column", "not readable as JSON"),
        (b"[]", "", "a JSON list"),
        ('{"info": "é"}'.encode("latin-1"), "", "not UTF-8: byte 0xe9 at position 10"),
        ('{"info": 1}'.encode("utf-16"), "", "not UTF-8: byte 0xff at position 0"),
        (b"[" * 100_000, ", line 1, column", "depth limit exceeded"),
        (b'{"info": "\\ud800"}', ", line 1, column 11", "surrogate"),
    ],
)
def test_a_file_that_is_no_json_is_named_with_the_place(tmp_path: Path, data: bytes, where: str, found: str) -> None:
    annotations = write_coco(tmp_path)
    path = annotations / "instances_train2014.json"
    path.write_bytes(data)
    error = refusal(annotations)
    assert error.where.startswith(f"{path}{where}")
    assert found in error.found


def test_categories_must_agree_between_parts(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path)
    content = content_of(annotations, "val2014")
    content["categories"][0]["name"] = "cow"
    path = write_instances(annotations, "val2014", content)
    error = refusal(annotations)
    assert error.where == f"{path}, categories"
    assert error.found == f'id 18 is "cow"; in {annotations}/instances_train2014.json it is "dog"'


def test_a_wrong_folder_is_answered_with_the_right_one(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path / "coco")
    coco = tmp_path / "coco"
    assert refusal(coco).remedy == f"set data.path to {annotations}"
    assert refusal(tmp_path / "none").found == f"{tmp_path}/none is not a folder"
    assert refusal(annotations, root=coco / "train2014").remedy == f"set data.root to {coco}"
    assert "leave train2014 out" in refusal(annotations, root=tmp_path).remedy
    (coco / "images").mkdir()
    (coco / "train2014").rename(coco / "images" / "train2014")
    assert refusal(annotations).remedy == f"set data.root to {coco}/images"
    assert "no part train" in refusal(write_coco(tmp_path / "other", {"minitrain": 8})).found


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_changed_bytes_give_a_manifest_or_an_input_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "coco-fuzz"
    path = folder / "annotations" / "instances_train2014.json"
    if not path.with_suffix(".good").exists():
        write_coco(folder, {"train2014": 8})
        path.rename(path.with_suffix(".good"))
    good = path.with_suffix(".good").read_bytes()
    start = data.draw(st.integers(0, len(good)))
    length = data.draw(st.integers(0, 30))
    path.write_bytes(good[:start] + data.draw(st.binary(max_size=8)) + good[start + length :])
    with contextlib.suppress(InputError):
        read(path.parent, TRAIN)


def real_data(name: str) -> Path:
    path = Path(os.environ.get("BMIX_TEST_DATA", "")) / name
    if not path.is_file():
        pytest.skip(f"BMIX_TEST_DATA names no folder that holds {name}")
    return path


def published_labels() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Image ids, labels (82,081, 80) and category names of train2014."""
    with np.load(real_data("coco-train2014-labels.npz")) as file:
        labels_NK = np.unpackbits(file["labels_packed"], axis=1)[:, :80]
        return file["image_ids"], labels_NK, file["category_names"].tolist()


@pytest.mark.real_data
def test_real_images_have_the_labels_of_the_published_matrix(tmp_path: Path) -> None:
    image_ids, labels_NK, names = published_labels()
    with zipfile.ZipFile(real_data("coco-mini-224.zip")) as file:
        file.extractall(tmp_path)
    root = tmp_path / "coco-mini"
    manifest = read_coco(root / "annotations", root, {}, True)
    assert {split: len(manifest.rows(split)) for split in manifest.splits()} == {"train": 284, "val": 137}
    assert manifest.classes == names
    assert (manifest.frame["labels"].map(len) == 0).sum() == 3
    row_of = {str(number): row for row, number in enumerate(image_ids)}
    shared = [name in row_of for name in manifest.frame["id"]]
    frame = manifest.frame[shared]
    assert frame["labels"].tolist() == label_lists(labels_NK[[row_of[name] for name in frame["id"]]], names)
    assert len(frame) == 119
    assert verify(manifest, root, str(root)).frame["digest"].nunique() == 421


@pytest.mark.real_data
def test_the_whole_training_set_has_the_published_imbalance() -> None:
    image_ids, labels_NK, names = published_labels()
    frame = pd.DataFrame(
        {
            "id": image_ids.astype(str),
            "path": "x.jpg",
            "split": "train",
            "labels": label_lists(labels_NK, names),
            "ignore": [[] for _ in image_ids],
            "digest": "",
        }
    )
    found = facts(Manifest(frame[COLUMNS], names), many=100, medium=20)
    assert found["images"] == {"train": 82_081}
    assert (found["classes"]["person"]["positives"]["train"], found["classes"]["hair drier"]["positives"]["train"]) == (
        45_174,
        128,
    )
    assert found["imbalance_ratio"] == pytest.approx(352.9, abs=0.05)
    assert found["positive_negative_ratio"] == pytest.approx(26.24, abs=0.005)
    assert found["labels_per_positive"] == pytest.approx(27.24, abs=0.005)
