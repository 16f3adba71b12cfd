from __future__ import annotations

import contextlib
import os
import zipfile
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bmix.data.manifest import Manifest, validate
from bmix.sources.class_list import ClassList
from bmix.sources.verify import verify
from bmix.sources.voc.classes import CLASSES
from bmix.sources.voc.layout import find_parts
from bmix.sources.voc.read import read_voc
from bmix.support.errors import InputError
from tests.helpers.tiny import write_annotation, write_voc
from tests.helpers.voc import write_list, write_voc_devkit

CAR, CAT, DOG = (CLASSES.index(name) for name in ("car", "cat", "dog"))

PUBLISHED = {
    "aeroplane": (112, 1, 126, 1), "bicycle": (116, 6, 126, 6), "bird": (180, 2, 150, 1), "boat": (81, 6, 100, 1),
    "bottle": (139, 14, 105, 4), "bus": (97, 3, 89, 8), "car": (375, 26, 336, 22), "cat": (163, 3, 174, 4),
    "chair": (224, 58, 221, 69), "cow": (69, 2, 72, 3), "diningtable": (97, 33, 103, 30), "dog": (203, 7, 218, 2),
    "horse": (139, 5, 148, 2), "motorbike": (120, 3, 125, 1), "person": (1025, 45, 981, 42),
    "pottedplant": (133, 20, 112, 8), "sheep": (48, 1, 48, 0), "sofa": (111, 77, 118, 66), "train": (127, 1, 134, 1),
    "tvmonitor": (128, 16, 128, 7),
}  # fmt: skip


def refusal(root: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        validate(read_voc(root, root), str(root))
    return caught.value


def test_the_devkit_is_read_with_its_official_splits(tmp_path: Path) -> None:
    root = write_voc(tmp_path, train=40, val=20, test=20)
    manifest = read_voc(root, root)
    validate(manifest, str(root))
    assert manifest.classes == CLASSES == sorted(CLASSES)
    assert [len(manifest.rows(split)) for split in ("train", "val", "test")] == [40, 20, 20]
    assert manifest.paths("train")[0] == "JPEGImages/000001.jpg"
    assert manifest.ignored("train").any()
    assert read_voc(write_voc(tmp_path / "two"), tmp_path / "two").splits() == ["train", "val"]


def test_a_class_counts_as_ignored_only_where_all_its_objects_are_difficult(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    write_annotation(root, "000001", [CAR, CAT, DOG], difficult=[CAT])
    annotation = root / "Annotations" / "000001.xml"
    easy_car = "<object><name>car</name><difficult>1</difficult></object>"
    annotation.write_text(annotation.read_text().replace("</annotation>", f"{easy_car}</annotation>"))
    row = read_voc(root, root).frame.iloc[0]
    assert row["labels"] == ["car", "dog"]
    assert row["ignore"] == ["cat"]


def test_paths_start_at_the_root_also_where_it_is_the_devkit(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    manifest = read_voc(root.parent, root.parent)
    assert manifest.paths("train")[0] == "VOC2007/JPEGImages/000001.jpg"
    verify(manifest, root.parent, "voc")
    with pytest.raises(InputError, match=r"data\.root: .*Annotations does not hold"):
        read_voc(root, root / "Annotations")


def test_several_years_are_named_and_none_is_chosen(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    write_voc(tmp_path, year="VOC2012")
    assert "holds the years VOC2007, VOC2012" in refusal(root.parent).found
    assert "is not a folder" in refusal(tmp_path / "none").found


def test_a_folder_without_annotations_is_answered_with_the_one_that_has_them(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    assert refusal(root / "JPEGImages").found.endswith("holds no VOC year")
    assert refusal(tmp_path).remedy == f"set data.path to {root}"


def test_a_missing_annotation_is_named_with_the_line_that_lists_it(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    (root / "Annotations/000003.xml").unlink()
    error = refusal(root)
    assert error.where == f"{root}/ImageSets/Main/train.txt, line 3"
    assert error.found == f"{root}/Annotations/000003.xml does not exist"


def test_a_missing_image_is_refused_with_its_line_or_skipped(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    (root / "JPEGImages/000003.jpg").unlink()
    manifest = read_voc(root, root)
    validate(manifest, str(root))
    with pytest.raises(InputError, match=r'train\.txt, line 3: "JPEGImages/000003\.jpg" does not exist'):
        verify(manifest, root, str(root))
    assert "000003" not in verify(manifest, root, str(root), unreadable="skip").ids("train")


def test_an_unknown_class_is_refused_with_the_nearest(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    annotation = root / "Annotations" / "000001.xml"
    annotation.write_text(annotation.read_text().replace("aeroplane", "airplane"))
    error = refusal(root)
    assert (error.where, error.found) == (str(annotation), 'object "airplane"')
    assert error.remedy.endswith('Did you mean "aeroplane"?')


BOMB = "<!DOCTYPE x [" + "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "lol"}">' for i in range(9)) + "]>"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"<annotation>", "not readable as XML: no element found: line 1"),
        (b"", "not readable as XML: no element found: line 1"),
        (f"{BOMB}<annotation>&e8;</annotation>".encode(), "a document type"),
        (b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>', "a document type"),
        (b'<!DOCTYPE annotation SYSTEM "http://127.0.0.1/x.dtd"><annotation/>', "a document type"),
        (b'<?xml version="1.0" encoding="none"?><annotation/>', "not readable as XML: unknown encoding: none"),
        (b'<?xml version="1.0" encoding="utf-7"?><annotation/>', "not readable as XML: multi-byte encodings"),
        (b"<html/>", "<html>"),
        (b"<annotation><object/></annotation>", 'object ""'),
        (b"<annotation><object><name>cat</name><difficult>no</difficult></object></annotation>", 'difficult "no"'),
    ],
)
def test_an_annotation_that_is_broken_or_defines_entities_is_refused(
    tmp_path: Path, content: bytes, found: str
) -> None:
    root = write_voc(tmp_path)
    (root / "Annotations" / "000002.xml").write_bytes(content)
    error = refusal(root)
    assert error.where == str(root / "Annotations" / "000002.xml")
    assert found in error.found


def test_a_list_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    (root / "ImageSets" / "Main" / "val.txt").write_text("../../secret\n")
    assert refusal(root).found == 'image "../../secret"'


def test_an_image_in_two_lists_is_refused(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    (root / "ImageSets" / "Main" / "val.txt").write_text("000041\n000002\n")
    error = refusal(root)
    assert error.where == f"{root}/ImageSets/Main/val.txt, line 2"
    assert error.found == (
        f'image "000002" of split val is in split train already, by {root}/ImageSets/Main/train.txt, line 2'
    )
    (root / "ImageSets" / "Main" / "val.txt").write_text("000041\n000041\n")
    assert refusal(root).found == f'id "000041" is already used at {root}/ImageSets/Main/val.txt, line 1'


def test_years_are_joined_by_their_parts(tmp_path: Path) -> None:
    devkit = write_voc_devkit(tmp_path, test=20)
    splits = {"2007-trainval": "train", "2012-trainval": "train", "2007-test": "test"}
    manifest = read_voc(devkit, devkit, splits)
    validate(manifest, str(devkit))
    assert {split: len(manifest.rows(split)) for split in manifest.splits()} == {"train": 80, "test": 20}
    assert manifest.paths("train")[::40] == ["VOC2007/JPEGImages/000001.jpg", "VOC2012/JPEGImages/2008_000001.jpg"]
    year = devkit / "VOC2012"
    assert len(read_voc(year, year, {"train": "train", "val": "test"}).rows("test")) == 20
    with pytest.raises(InputError, match=r"train=2007-trainval\+2012-trainval test=2007-test"):
        read_voc(devkit, devkit)
    with pytest.raises(InputError, match=r'(?s)part "2012-test" is not in .*Did you mean "2007-test"'):
        read_voc(devkit, devkit, {"2012-test": "test"})
    with pytest.raises(InputError, match='part "cat_trainval" is not in'):
        read_voc(year, year, {"cat_trainval": "train"})
    assert "2007-train" in find_parts(devkit)
    assert "2007-cat_trainval" not in find_parts(devkit)


def test_an_image_in_two_lists_of_one_split_is_taken_once(tmp_path: Path) -> None:
    devkit = write_voc_devkit(tmp_path)
    splits = {"2007-train": "train", "2007-trainval": "train", "2012-val": "val"}
    manifest = read_voc(devkit, devkit, splits)
    validate(manifest, str(devkit))
    assert manifest.ids("train") == [f"{number:06d}" for number in range(1, 41)]
    with pytest.raises(InputError, match='image "000001" of split unlabelled is in split train already'):
        read_voc(devkit, devkit, {"2007-train": "train", "2007-trainval": "unlabelled"})


def test_unlabelled_images_need_no_annotation(tmp_path: Path) -> None:
    devkit = write_voc_devkit(tmp_path)
    for annotation in (devkit / "VOC2012" / "Annotations").glob("*.xml"):
        annotation.unlink()
    splits = {"2007-trainval": "train", "2012-val": "unlabelled"}
    manifest = read_voc(devkit, devkit, splits)
    validate(manifest, str(devkit))
    assert len(manifest.rows("unlabelled")) == 20
    assert not any(manifest.rows("unlabelled")["labels"])
    with pytest.raises(InputError, match=r"2008_000021\.xml does not exist"):
        read_voc(devkit, devkit, {**splits, "2012-val": "test"})


@pytest.mark.parametrize(
    ("difficult", "labels", "ignore"),
    [("ignore", ["dog"], ["cat"]), ("drop", ["dog"], []), ("positive", ["cat", "dog"], [])],
)
def test_difficult_objects(
    tmp_path: Path, difficult: Literal["ignore", "drop", "positive"], labels: list[str], ignore: list[str]
) -> None:
    root = write_voc(tmp_path)
    write_annotation(root, "000001", [CAT, DOG], difficult=[CAT])
    row = read_voc(root, root, difficult=difficult).frame.iloc[0]
    assert (row["labels"], row["ignore"]) == (labels, ignore)


def test_lists_from_other_systems_are_read_or_refused(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    expected = read_voc(root, root).frame
    path = root / "ImageSets" / "Main" / "train.txt"
    text = path.read_text()
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", " \r\n").encode() + b"\r\n")
    pd.testing.assert_frame_equal(read_voc(root, root).frame, expected)
    path.write_bytes(text.encode() + "Müller\n".encode("latin-1"))
    error = refusal(root)
    assert (error.where, error.found) == (f"{path}, line 41", "not UTF-8: byte 0xfc")
    path.write_bytes(text.encode("utf-16"))
    assert refusal(root).found == "not UTF-8: byte 0xff"
    path.write_text("000001 -1\n")
    assert refusal(root).found == 'image "000001 -1"'
    path.write_text("0" * 300)
    assert refusal(root).found.endswith("xml does not exist")


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data(), part=st.sampled_from(["Annotations/000001.xml", "ImageSets/Main/val.txt"]))
def test_changed_bytes_give_a_manifest_or_an_input_error(
    data: st.DataObject, part: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.getbasetemp() / "voc-fuzz" / "VOCdevkit" / "VOC2007"
    if not root.exists():
        write_voc(root.parent.parent, train=20, val=4)
    path = root / part
    good = path.read_bytes()
    start = data.draw(st.integers(0, len(good)))
    length = data.draw(st.integers(0, 20))
    try:
        path.write_bytes(good[:start] + data.draw(st.binary(max_size=8)) + good[start + length :])
        with contextlib.suppress(InputError):
            validate(read_voc(root, root), str(root))
    finally:
        path.write_bytes(good)


def test_lists_without_one_of_training_images_are_refused(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    (root / "ImageSets" / "Main" / "train.txt").unlink()
    error = refusal(root)
    assert (error.where, error.found) == (str(root / "ImageSets" / "Main"), "no train.txt")


def test_lists_of_single_classes_alone_are_refused(tmp_path: Path) -> None:
    write_own(tmp_path / "Annotations", tmp_path / "JPEGImages")
    write_list(tmp_path, "helmet_train", ["a  1", "b -1"])
    write_list(tmp_path, "helmet_val", ["c -1", "d  1"])
    error = refusal(tmp_path)
    assert error.where == str(tmp_path / "ImageSets" / "Main")
    assert error.found == "lists of single classes alone, e.g. helmet_train.txt"
    assert error.expected == "lists of all images of a split, e.g. train.txt and val.txt"


def test_a_class_whose_objects_are_all_difficult_is_refused_as_such(tmp_path: Path) -> None:
    write_own(tmp_path / "Annotations", tmp_path / "JPEGImages")
    for path in (tmp_path / "Annotations").iterdir():
        path.write_text(path.read_text().replace("vest</name>", "vest</name><difficult>1</difficult>"))
    error = refusal(tmp_path)
    assert error.found == 'every object of split train that is called "vest" is marked difficult'
    assert "data.difficult to positive" in error.remedy
    assert read_voc(tmp_path, tmp_path, difficult="positive").classes == ["helmet", "vest"]


def test_where_annotations_and_lists_were_found_is_told(tmp_path: Path) -> None:
    write_own(tmp_path / "annotations", tmp_path / "images")
    assert read_voc(tmp_path, tmp_path).notes["form"] == "annotations in annotations; no lists of images"
    write_list(tmp_path, "train", ["a", "b", "c", "d"])
    assert read_voc(tmp_path, tmp_path).notes["form"] == "annotations in annotations; lists ImageSets/Main/train.txt"


HELMETS = {"a": ["helmet", "vest"], "b": ["vest"], "c": [], "d": ["helmet"]}


def write_own(annotations: Path, images: Path, suffix: str = ".jpg", named: dict[str, list[str]] | None = None) -> None:
    """Annotations of one's own classes, and an image for each."""
    for name, classes in (HELMETS if named is None else named).items():
        annotation = annotations / f"{name}.xml"
        annotation.parent.mkdir(parents=True, exist_ok=True)
        objects = "".join(f"<object><name>{label}</name></object>" for label in classes)
        annotation.write_text(f"<annotation><filename>{name}{suffix}</filename>{objects}</annotation>")
        image = images / f"{name}{suffix}"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (len(name) * 9, 90, 200)).save(image, "PNG" if suffix == ".png" else "JPEG")


def labels_of(manifest: Manifest) -> dict[str, list[str]]:
    return dict(zip(manifest.frame["id"], manifest.frame["labels"], strict=True))


def test_classes_of_ones_own_come_from_the_annotations(tmp_path: Path) -> None:
    write_own(tmp_path / "Annotations", tmp_path / "JPEGImages")
    write_list(tmp_path, "train", ["a", "b"])
    write_list(tmp_path, "val", ["c", "d"])
    manifest = read_voc(tmp_path, tmp_path)
    assert manifest.classes == ["helmet", "vest"]
    assert labels_of(manifest) == HELMETS
    assert manifest.notes["classes"] == "the names of the objects, sorted"
    assert manifest.splits() == ["train", "val"]
    assert not manifest.classes_listed


def test_listed_classes_give_the_order_and_refuse_any_other(tmp_path: Path) -> None:
    write_own(tmp_path / "Annotations", tmp_path / "JPEGImages")
    manifest = read_voc(tmp_path, tmp_path, listed=ClassList(["vest", "helmet"], "data.classes"))
    assert manifest.classes == ["vest", "helmet"]
    assert labels_of(manifest)["a"] == ["vest", "helmet"]
    assert manifest.notes["classes"] == "from data.classes"
    assert manifest.classes_listed
    with pytest.raises(InputError) as caught:
        read_voc(tmp_path, tmp_path, listed=ClassList(["vest", "helmets"], "data.classes"))
    assert (caught.value.where, caught.value.found) == (str(tmp_path / "Annotations" / "a.xml"), 'object "helmet"')
    assert caught.value.remedy.endswith('Did you mean "helmets"?')


@pytest.mark.parametrize(
    ("named", "classes"),
    [
        ({"a": ["dog", "cat"], "b": ["person"]}, ["cat", "dog", "person"]),
        ({"a": ["zebra", "cat"], "b": ["airplane"]}, ["airplane", "cat", "zebra"]),
        ({"a": [*CLASSES, "helmet"], "b": []}, sorted([*CLASSES, "helmet"])),
    ],
)
def test_published_classes_stand_in_their_order_and_others_sorted(
    tmp_path: Path, named: dict[str, list[str]], classes: list[str]
) -> None:
    write_own(tmp_path / "Annotations", tmp_path / "JPEGImages", named=named)
    assert read_voc(tmp_path, tmp_path).classes == classes


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".JPEG", ".png"])
@pytest.mark.parametrize(
    ("annotations", "images"),
    [("Annotations", "JPEGImages"), ("annotations", "images"), ("xml", "some/pictures"), ("", "")],
)
def test_folders_without_lists_and_images_of_any_suffix_are_read(
    tmp_path: Path, annotations: str, images: str, suffix: str
) -> None:
    write_own(tmp_path / "data" / annotations, tmp_path / "data" / images, suffix)
    manifest = read_voc(tmp_path / "data", tmp_path)
    assert labels_of(manifest) == HELMETS
    assert manifest.splits() == ["train"]
    assert manifest.frame["path"].tolist() == [
        (Path("data") / images / f"{name}{suffix}").as_posix() for name in HELMETS
    ]
    assert manifest.frame.index[0] == str(tmp_path / "data" / annotations / "a.xml")
    verify(manifest, tmp_path, "voc")


@pytest.mark.parametrize("root", ["", "pictures"])
def test_data_path_may_be_the_folder_of_the_annotations_alone(tmp_path: Path, root: str) -> None:
    write_own(tmp_path / "xml", tmp_path / "pictures", ".png")
    manifest = read_voc(tmp_path / "xml", tmp_path / root)
    assert labels_of(manifest) == HELMETS
    verify(manifest, tmp_path / root, "voc")


def test_a_folder_for_each_split_is_read(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        write_own(tmp_path / part, tmp_path / part)
    manifest = read_voc(tmp_path, tmp_path)
    assert {split: len(manifest.rows(split)) for split in manifest.splits()} == {"train": 4, "val": 4, "test": 4}
    assert manifest.ids("val") == ["valid/a", "valid/b", "valid/c", "valid/d"]
    assert manifest.paths("val")[0] == "valid/a.jpg"
    assert manifest.notes["splits"] == "val from valid"
    assert read_voc(tmp_path, tmp_path, {"train": "train", "test": "val"}).splits() == ["train", "val"]


@pytest.mark.parametrize(
    ("lists", "splits"),
    [
        (["default"], {"default": "train"}),
        (["train"], {"train": "train"}),
        (["trainval", "test"], {"trainval": "train", "test": "test"}),
        (["Train", "Valid"], {"Train": "train", "Valid": "val"}),
        (["training", "holdout", "trainval"], {"training": "train", "holdout": "test"}),
    ],
)
def test_lists_called_otherwise_are_understood(tmp_path: Path, lists: list[str], splits: dict[str, str]) -> None:
    names = dict(zip(HELMETS, lists, strict=False))
    write_own(tmp_path / "Annotations", tmp_path / "JPEGImages")
    for name, part in names.items():
        write_list(tmp_path, part, [name])
        write_list(tmp_path, f"helmet_{part}", [f"{name}  1"])
    frame = read_voc(tmp_path, tmp_path).frame
    assert dict(zip(frame["id"], frame["split"], strict=True)) == {
        name: splits[part] for name, part in names.items() if part in splits
    }


def test_lines_of_lists_may_name_the_file_or_hold_blanks_and_folders(tmp_path: Path) -> None:
    named = {"a": ["vest"], "my photo 1": ["helmet"], "site/b": ["vest"], "c": []}
    write_own(tmp_path / "Annotations", tmp_path / "JPEGImages", ".png", named)
    write_list(tmp_path, "train", ["a.png", "my photo 1", "site/b", "c.PNG"])
    manifest = read_voc(tmp_path, tmp_path)
    assert labels_of(manifest) == named
    verify(manifest, tmp_path, "voc")


@pytest.mark.parametrize("folder", ["ImageSets", "."])
def test_lists_in_other_places_are_read(tmp_path: Path, folder: str) -> None:
    write_own(tmp_path / "Annotations", tmp_path / "JPEGImages")
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / "train.txt").write_text("JPEGImages/a.jpg\nJPEGImages/b.jpg\n")
    (tmp_path / folder / "valid.txt").write_text("c.jpg\nd\n")
    (tmp_path / "readme.txt").write_text("not a list\n")
    manifest = read_voc(tmp_path, tmp_path)
    assert (manifest.ids("train"), manifest.ids("val")) == (["a", "b"], ["c", "d"])


def test_the_labels_of_all_annotations_of_an_image_are_joined(tmp_path: Path) -> None:
    write_own(tmp_path / "Annotations", tmp_path / "JPEGImages")
    more = (tmp_path / "Annotations" / "b.xml").read_text().replace("vest", "glove")
    (tmp_path / "Annotations" / "b-2.xml").write_text(more)
    (tmp_path / "Annotations" / "._b.xml").write_bytes(b"\x00\x05\x16\x07")
    manifest = read_voc(tmp_path, tmp_path)
    assert labels_of(manifest) == {"a": ["helmet", "vest"], "b-2": ["glove", "vest"], "c": [], "d": ["helmet"]}
    assert manifest.notes["repeated"].startswith("5 rows of 4 images")


def test_images_without_an_annotation_are_left_out_and_counted(tmp_path: Path) -> None:
    write_own(tmp_path / "Annotations", tmp_path / "JPEGImages")
    (tmp_path / "Annotations" / "c.xml").unlink()
    manifest = read_voc(tmp_path, tmp_path)
    assert manifest.ids("train") == ["a", "b", "d"]
    assert manifest.notes["without annotation"] == "1 images that no annotation belongs to are left out"


def test_the_image_that_an_annotation_names_is_taken_and_doubt_is_refused(tmp_path: Path) -> None:
    write_own(tmp_path / "xml", tmp_path / "images", ".png", {"1": ["vest"]})
    (tmp_path / "images" / "1.png").rename(tmp_path / "images" / "IMG_1.PNG")
    annotation = tmp_path / "xml" / "1.xml"
    annotation.write_text(annotation.read_text().replace("1.png", "C:\\photos\\IMG_1.PNG"))
    assert read_voc(tmp_path, tmp_path).paths("train") == ["images/IMG_1.PNG"]
    annotation.write_text(annotation.read_text().replace("IMG_1.PNG", "IMG_1"))
    for folder in ("more", "images"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "IMG_1.jpg").write_bytes(b"")
    (tmp_path / "images" / "IMG_1.jpg").unlink()
    error = refusal(tmp_path)
    assert error.found == f'"images/IMG_1.PNG", "more/IMG_1.jpg" in {tmp_path} could be its image'


def test_other_files_than_annotations_are_named(tmp_path: Path) -> None:
    write_own(tmp_path / "Annotations", tmp_path / "JPEGImages")
    (tmp_path / "Annotations" / "b.xml").write_text("<annotations><image/></annotations>")
    assert refusal(tmp_path).remedy == "export it as Pascal VOC"


STEPS = ["Annotations", "images", "JPEGImages", "ImageSets/Main", "train", "valid", "VOC2007", ".hidden"]
LEAVES = ["a.xml", "b.XML", "._a.xml", "a.jpg", "B.JPG", "a.png", "train.txt", "default.txt", "cat_train.txt", "x.txt"]
BYTES = [
    b"<annotation><object><name>cat</name></object></annotation>",
    b"<annotation/>",
    b"a\nb\n",
    b"a 1\n",
    b"\xff",
    b"",
]


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.lists(st.sampled_from(STEPS), max_size=2).map("/".join), st.sampled_from(LEAVES)),
        st.sampled_from([*BYTES, None]),
        max_size=12,
    ),
    st.sampled_from([{}, {"train": "train"}, {"2007-train": "train", "2007-default": "val"}]),
)
def test_any_tree_gives_a_manifest_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory,
    tree: dict[tuple[str, str], bytes | None],
    split_of: dict[str, str],
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    for (steps, leaf), content in tree.items():
        path = folder / steps / leaf
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(content)
    with contextlib.suppress(InputError):
        manifest = read_voc(folder, folder, split_of)
        assert set(manifest.frame["split"]) <= {"train", "val", "test"}


@pytest.fixture(scope="session")
def real_year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = Path(os.environ.get("BMIX_TEST_DATA", "")) / "voc2007-112.zip"
    if not archive.is_file():
        pytest.skip("BMIX_TEST_DATA names no folder that holds voc2007-112.zip")
    folder = tmp_path_factory.mktemp("real")
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    return folder / "VOCdevkit" / "VOC2007"


@pytest.mark.real_data
def test_voc_2007_has_the_published_counts(real_year: Path) -> None:
    manifest = read_voc(real_year, real_year)
    validate(manifest, str(real_year))
    parts = [part for split in ("train", "val") for part in (manifest.labels(split), manifest.ignored(split))]
    counts = zip(*(part.sum(0).tolist() for part in parts), strict=True)
    assert dict(zip(manifest.classes, counts, strict=True)) == PUBLISHED
    assert verify(manifest, real_year, str(real_year)).frame["digest"].nunique() == 5008


@pytest.mark.real_data
@pytest.mark.parametrize("difficult", ["drop", "positive"])
def test_voc_2007_trainval_by_what_difficult_objects_are(
    real_year: Path, difficult: Literal["drop", "positive"]
) -> None:
    devkit = real_year.parent
    manifest = read_voc(devkit, devkit, {"2007-trainval": "train"}, difficult)
    expected = [
        train + val + (train_difficult + val_difficult if difficult == "positive" else 0)
        for train, train_difficult, val, val_difficult in PUBLISHED.values()
    ]
    assert manifest.labels("train").sum(0).tolist() == expected
    assert not manifest.ignored("train").any()
