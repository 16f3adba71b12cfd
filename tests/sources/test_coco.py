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

from bmix.data.label_lists import label_lists
from bmix.data.manifest import COLUMNS, Manifest, path_fault, validate
from bmix.sources.class_list import ClassList
from bmix.sources.coco.read import read_coco
from bmix.sources.draw import with_drawn_splits
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


def test_parts_may_count_their_images_anew(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path)
    expected = read(annotations)
    first = {"train2014": 16, "val2014": 16 + 7 * 32}
    for part, start in first.items():
        content = content_of(annotations, part)
        for entry, key in [(one, "id") for one in content["images"]] + [
            (one, "image_id") for one in content["annotations"]
        ]:
            entry[key] = (entry[key] - start) // 7
        write_instances(annotations, part, content)
    manifest = read(annotations)
    assert manifest.ids("train")[:2] == ["train2014/0", "train2014/1"]
    assert manifest.ids("val")[:2] == ["val2014/0", "val2014/1"]
    assert named_labels(manifest) == named_labels(expected)
    assert "ids" in manifest.notes
    assert "ids" not in expected.notes


def test_an_id_of_two_images_is_refused_and_an_entry_that_is_repeated_is_not(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path)
    expected = read(annotations).frame
    content = content_of(annotations)
    content["images"].append(content["images"][0])
    path = write_instances(annotations, "train2014", content)
    pd.testing.assert_frame_equal(read(annotations).frame, expected)
    content["images"][-1] = {**content["images"][1], "id": 16}
    write_instances(annotations, "train2014", content)
    error = refusal(annotations)
    assert error.where == f"{path}, images[32] (id 16)"
    assert error.found == 'id "16" is that of train2014/COCO_train2014_000000000016.jpg too, in images[0]'


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path)
    expected = read(annotations).frame
    path = annotations / "instances_train2014.json"
    text = json.dumps(json.loads(path.read_text()), indent=1).replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    pd.testing.assert_frame_equal(read(annotations).frame, expected)


Change = Callable[[dict[str, Any]], object]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "where", "found"),
    [
        (lambda c: c.pop("images"), "", 'no key "images", but "info", "licenses", "ann'),
        (lambda c: c.update(annotations={}), ", annotations", "a JSON object"),
        (lambda c: c["images"].insert(2, None), ", images[2]", "a JSON null"),
        (lambda c: c["images"][1].pop("file_name"), ", images[1] (id 23)", 'no key "file_name", but "lic'),
        (lambda c: c["images"][1].update(file_name="/etc/passwd"), ", images[1] (id 23)", "is absolute"),
        (lambda c: c["images"][1].update(file_name="../../x.jpg"), ", images[1] (id 23)", "may leave the root"),
        (lambda c: c["images"][0].update(id=""), ", images[0] (id \"\")", 'id ""'),
        (lambda c: c["images"][0].update(id=1.5), ", images[0]", "id 1.5"),
        (lambda c: c["images"][0].update(id=True), ", images[0]", "id true"),
        (lambda c: c["categories"].clear(), ", categories", "an empty list"),
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


def test_a_folder_without_annotations_or_training_images_is_refused(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path / "coco")
    assert refusal(tmp_path / "none").found == f"{tmp_path}/none is not a file or folder"
    assert "holds no instances_PART.json" in refusal(tmp_path / "coco" / "train2014").found
    assert "leave train2014 out" in refusal(annotations, root=tmp_path / "coco" / "val2014").remedy
    other = write_coco(tmp_path / "other", {"minitrain": 8, "minival": 8})
    assert "no part train" in refusal(other).found


def named_labels(manifest: Manifest) -> dict[str, list[str]]:
    return dict(zip(manifest.frame["path"].map(lambda path: Path(path).name), manifest.frame["labels"], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("move", "path", "root"),
    [
        (("train2014", "train2014"), "annotations", ""),
        (("train2014", "train2014"), "", ""),
        (("train2014", "train2014"), "annotations", "train2014"),
        (("train2014", "images/train2014"), "annotations", ""),
        (("train2014", "images"), "annotations", ""),
        (("train2014", "Training"), "", ""),
        (("train2014", "images/train"), "annotations/instances_train2014.json", ""),
        (("train2014", "annotations/images"), "annotations", ""),
        (("train2014", "annotations"), "annotations", "annotations"),
    ],
)
def test_images_are_found_in_the_folders_that_people_use(
    tmp_path: Path, move: tuple[str, str], path: str, root: str
) -> None:
    annotations = write_coco(tmp_path, {"train2014": 16})
    expected = named_labels(read_coco(annotations, tmp_path, {}, True))
    source, target = (tmp_path / name for name in move)
    if source != target:
        target.mkdir(parents=True, exist_ok=True)
        for image in source.iterdir():
            image.rename(target / image.name)
    manifest = read_coco(tmp_path / path, tmp_path / root, {}, True)
    assert named_labels(manifest) == expected
    verify(manifest, tmp_path / root, "coco")


@pytest.mark.parametrize("parts", [["train", "valid", "test"], ["Train", "Val"]])
@pytest.mark.parametrize("name", ["_annotations.coco.json", "annotations.json"])
def test_a_file_beside_the_images_of_each_part_is_read(tmp_path: Path, parts: list[str], name: str) -> None:
    annotations = write_coco(tmp_path, dict.fromkeys(parts, 8))
    for part in parts:
        (annotations / f"instances_{part}.json").rename(tmp_path / part / name)
    annotations.rmdir()
    manifest = read_coco(tmp_path, tmp_path, {}, True)
    assert {split: len(manifest.rows(split)) for split in manifest.splits()} == dict.fromkeys(
        ["train", "val", "test"][: len(parts)], 8
    )
    assert manifest.paths("val")[0].startswith(f"{parts[1]}/")
    verify(manifest, tmp_path, "coco")


@pytest.mark.parametrize("name", ["instances_default.json", "result.json", "my labels.json"])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("splits", [[], ["train"]])
def test_of_one_file_all_is_train_until_splits_are_drawn(
    tmp_path: Path, name: str, named: bool, splits: list[str]
) -> None:
    annotations = write_coco(tmp_path, {"default": 24})
    path = (annotations / "instances_default.json").rename(annotations / name)
    part = path.stem.removeprefix("instances_")
    split_of = dict(zip([part], splits, strict=False))
    manifest = read_coco(path if named else annotations, tmp_path, split_of, True)
    assert manifest.splits() == ["train"]
    assert with_drawn_splits(manifest, 0).splits() == ["train", "val", "test"]
    assert manifest.notes["splits"] == f"train from {part}"


@pytest.mark.slow
def test_files_called_as_splits_are_parts_and_those_of_other_tasks_are_none(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path, {"train": 8, "val": 8})
    for part in ("train", "val"):
        (annotations / f"instances_{part}.json").rename(annotations / f"{part}.json")
    (annotations / "captions_train.json").write_text("{}")
    assert read(annotations).splits() == ["train", "val"]
    (annotations / "more.json").write_text("{}")
    assert read(annotations).splits() == ["train", "val"]
    (annotations / "validation.json").write_text("{}")
    assert refusal(annotations).found == 'the parts "val", "validation" all say val'


ID_FORMS: list[Callable[[int], object]] = [str, lambda number: f"img-{number}", float, lambda number: f" {number} "]


@pytest.mark.slow
@pytest.mark.parametrize("form", ID_FORMS)
@pytest.mark.parametrize("both", [True, False])
def test_ids_are_keys_whatever_their_type(tmp_path: Path, form: Callable[[int], object], both: bool) -> None:
    annotations = write_coco(tmp_path)
    expected = read(annotations).frame
    content = content_of(annotations)
    for image in content["images"]:
        image["id"] = form(image["id"])
    for category in content["categories"]:
        category["id"] = str(category["id"])
    for annotation in content["annotations"]:
        keeps = both or str(form(1)).strip() in ("1", "1.0")
        annotation["image_id"] = form(annotation["image_id"]) if keeps and both else annotation["image_id"]
        annotation["category_id"] = str(annotation["category_id"])
    write_instances(annotations, "train2014", content)
    if not both and str(form(1)).startswith("img"):
        assert "image_id 16 is not in images" in refusal(annotations).found
        return
    frame = read(annotations).frame
    assert frame["labels"].tolist() == expected["labels"].tolist()
    assert read(annotations).classes == CLASSES
    assert frame["id"].str.removeprefix("img-").tolist() == expected["id"].tolist()


def test_an_annotation_needs_no_id_and_a_crowd_no_word(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path)
    expected = read(annotations, crowd=False).frame
    content = content_of(annotations)
    for number, annotation in enumerate(content["annotations"]):
        del annotation["id"]
        if number % 3 == 0:
            annotation["id"] = number % 2
        if not annotation["iscrowd"]:
            annotation["iscrowd"] = None
    write_instances(annotations, "train2014", content)
    pd.testing.assert_frame_equal(read(annotations, crowd=False).frame, expected)


def test_nan_and_infinity_are_read_as_null_and_told(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path)
    expected = read(annotations)
    content = content_of(annotations)
    for annotation, value in zip(content["annotations"], (float("nan"), float("inf"), -float("inf")), strict=False):
        annotation["area"] = value
    path = write_instances(annotations, "train2014", content)
    manifest = read(annotations)
    pd.testing.assert_frame_equal(manifest.frame, expected.frame)
    assert manifest.notes["not JSON"] == 'NaN or Infinity, read as null, in "train2014"'
    assert "not JSON" not in expected.notes
    content["images"][3]["id"] = float("nan")
    write_instances(annotations, "train2014", content)
    assert refusal(annotations).found == "id null"
    path.write_bytes(b'{"area": NaN, "x": [1,}')
    assert refusal(annotations).where == f"{path}, line 1, column 23"
    path.write_bytes(b'{"area": NaN, "x": ' + b"[" * 100_000)
    assert "not readable as JSON" in refusal(annotations).found
    path.write_bytes(b'{"area": NaN, "images": [{"id": 1, "file_name": "\\ud800"}]}')
    assert "file_name" in refusal(annotations).found


def test_categories_without_an_annotation_are_left_out_and_told(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path)
    for part in ("train2014", "val2014"):
        content = content_of(annotations, part)
        content["categories"].insert(0, {"id": 0, "name": "dog", "supercategory": "none"})
        content["categories"].append({"id": 2, "name": "owl"})
        write_instances(annotations, part, content)
    manifest = read(annotations)
    assert manifest.classes == CLASSES
    assert manifest.notes["left out"] == 'categories without an annotation: "dog", "owl"'


def test_two_categories_of_one_name_are_refused_where_both_are_used(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path)
    for part in ("train2014", "val2014"):
        content = content_of(annotations, part)
        content["categories"][1]["name"] = "dog"
        write_instances(annotations, part, content)
    error = refusal(annotations)
    assert error.where == f"{annotations}/instances_train2014.json, categories"
    assert error.found == 'ids 1 and 18 are both called "dog"'


def test_a_part_may_lack_categories_that_it_does_not_need(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path)
    expected = read(annotations)
    content = content_of(annotations, "val2014")
    content["annotations"] = [entry for entry in content["annotations"] if entry["category_id"] == 18]
    content["categories"] = [{"id": 18, "name": "dog"}]
    write_instances(annotations, "val2014", content)
    manifest = read(annotations)
    assert manifest.classes == expected.classes
    assert manifest.frame["labels"].iloc[:32].tolist() == expected.frame["labels"].iloc[:32].tolist()


def test_listed_classes_give_the_order_and_leave_others_out(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path)
    everything = read(annotations).frame["labels"]
    manifest = read_coco(annotations, tmp_path, {}, True, ClassList(["dog", "car"], "data.classes"))
    assert manifest.classes == ["dog", "car"]
    assert manifest.classes_listed
    assert manifest.frame["labels"].tolist() == [[name for name in ("dog", "car") if name in own] for own in everything]
    assert 'categories not listed: "person", "stop sign"' in manifest.notes["left out"].replace('"cat", ', "")
    with pytest.raises(InputError, match=r'data\.classes: "dogs" is not a category(?s:.)*Did you mean "dog"'):
        read_coco(annotations, tmp_path, {}, True, ClassList(["dogs"], "data.classes"))


def test_an_image_under_several_ids_has_the_labels_of_all(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path)
    expected = read(annotations).frame
    content = content_of(annotations)
    twins = {}
    for image in list(content["images"]):
        twins[image["id"]] = image["id"] + 10_000
        content["images"].append({**image, "id": twins[image["id"]]})
    for annotation in content["annotations"][::2]:
        annotation["image_id"] = twins[annotation["image_id"]]
    write_instances(annotations, "train2014", content)
    manifest = read(annotations)
    pd.testing.assert_frame_equal(manifest.frame, expected)
    assert manifest.notes["repeated"].startswith("80 rows of 48 images")
    other = content_of(annotations, "val2014")
    other["images"][0]["file_name"] = f"../train2014/{content['images'][0]['file_name']}"
    write_instances(annotations, "val2014", other)
    assert refusal(annotations).where == f"{annotations}/instances_val2014.json, images[0] (id 240)"


OTHER_MACHINES = [
    "C:\\data\\{part}\\{name}",
    "/data/coco/{part}/{name}",
    "https://host.example/bucket/{part}/{name}?signature=1",
    "s3://bucket/{name}",
    "/data/local-files/?d=upload/1/{name}",
    "{part}/{name}",
    "./{name}",
    "..\\{part}\\{name}",
    "data/raw/{name}",
]


@pytest.mark.slow
@pytest.mark.parametrize("form", OTHER_MACHINES)
def test_file_names_of_other_machines_lead_to_the_images_here(tmp_path: Path, form: str) -> None:
    annotations = write_coco(tmp_path)
    expected = named_labels(read(annotations))
    for part in ("train2014", "val2014"):
        content = content_of(annotations, part)
        for image in content["images"]:
            image["file_name"] = form.format(part=part, name=image["file_name"])
        write_instances(annotations, part, content)
    manifest = read(annotations)
    assert named_labels(manifest) == expected
    verify(manifest, tmp_path, "coco")


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    name=st.one_of(
        st.sampled_from(["http://[", "?d=", "://", "C:", "a\0b", "//", "./", "\\", "%2e%2e/x", "?d=%00", "x" * 5000]),
        st.text(max_size=30),
        st.lists(st.sampled_from(["..", "/", "\\", "http:", "//", "?", "d=", "%2e", "#", "a.jpg"]), max_size=8).map(
            "".join
        ),
    )
)
def test_any_file_name_leads_below_the_root_or_is_refused(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "coco-names"
    if not folder.exists():
        write_coco(folder, {"train2014": 8})
    content = content_of(folder / "annotations")
    for image in content["images"][2:]:
        image["file_name"] = name
    try:
        write_instances(folder / "annotations" / "more", "train2014", content)
        manifest = read_coco(folder / "annotations" / "more", folder, TRAIN, True)
        validate(manifest, "coco")
    except InputError:
        return
    assert not any(path_fault(path) for path in manifest.frame["path"])


def test_a_url_without_an_image_and_names_that_become_one_are_refused(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path)
    content = content_of(annotations)
    names = [image["file_name"] for image in content["images"]]
    content["images"][1]["file_name"] = "https://host.example/none.jpg"
    write_instances(annotations, "train2014", content)
    error = refusal(annotations)
    assert error.found == (
        f'file_name "https://host.example/none.jpg" is a URL, and no image of that name is in {tmp_path}/train2014'
    )
    for number, folder in enumerate(("a", "b")):
        content["images"][number]["file_name"] = f"https://host.example/{folder}/{names[0]}"
    path = write_instances(annotations, "train2014", content)
    error = refusal(annotations)
    assert error.where == f"{path}, images[1] (id 23)"
    assert error.found.endswith(f"leads to {names[0]}, as does that of images[0]")


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
