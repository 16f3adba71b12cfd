from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from bmix.data.manifest import validate
from bmix.data.verify import verify
from bmix.data.voc import CLASSES, read_voc, year_folder
from bmix.errors import InputError
from tests.tiny import write_annotation, write_voc

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
    assert year_folder(root.parent) == year_folder(root) == root
    write_voc(tmp_path, year="VOC2012")
    with pytest.raises(InputError, match="holds the years VOC2007, VOC2012"):
        year_folder(root.parent)
    with pytest.raises(InputError, match="holds no VOC year"):
        year_folder(root / "JPEGImages")
    with pytest.raises(InputError, match="is not a folder"):
        year_folder(tmp_path / "none")


@pytest.mark.parametrize("part", ["JPEGImages/000003.jpg", "Annotations/000003.xml"])
def test_a_missing_file_is_named_with_the_line_that_lists_it(tmp_path: Path, part: str) -> None:
    root = write_voc(tmp_path)
    (root / part).unlink()
    error = refusal(root)
    assert error.where == f"{root}/ImageSets/Main/train.txt, line 3"
    assert error.found == f"{root}/{part} does not exist"


def test_an_unknown_class_is_refused_with_the_nearest(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    annotation = root / "Annotations" / "000001.xml"
    annotation.write_text(annotation.read_text().replace("aeroplane", "airplane"))
    error = refusal(root)
    assert (error.where, error.found) == (str(annotation), 'object "airplane"')
    assert error.remedy.endswith('Did you mean "aeroplane"?')


@pytest.mark.parametrize(
    "content",
    ["<annotation>", '<!DOCTYPE x [<!ENTITY a "aaaa">]><annotation>&a;</annotation>'],
)
def test_an_annotation_that_is_broken_or_defines_entities_is_refused(tmp_path: Path, content: str) -> None:
    root = write_voc(tmp_path)
    (root / "Annotations" / "000002.xml").write_text(content)
    error = refusal(root)
    assert error.where == str(root / "Annotations" / "000002.xml")
    assert error.found.startswith("not readable as XML")


def test_a_list_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    (root / "ImageSets" / "Main" / "val.txt").write_text("../../secret\n")
    assert refusal(root).found == 'image "../../secret"'


def test_an_image_in_two_lists_is_refused(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    (root / "ImageSets" / "Main" / "val.txt").write_text("000041\n000002\n")
    error = refusal(root)
    assert error.where == f"{root}/ImageSets/Main/val.txt, line 2"
    assert error.found == f'id "000002" was already used at {root}/ImageSets/Main/train.txt, line 2'


def test_another_layout_is_refused(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    (root / "ImageSets" / "Main" / "train.txt").unlink()
    assert refusal(root).found == "no train.txt"
    (root / "Annotations").rename(root / "annotations")
    assert refusal(root).found == "no folder Annotations"


@pytest.mark.real_data
def test_voc_2007_has_the_published_counts(tmp_path: Path) -> None:
    archive = Path(os.environ.get("BMIX_TEST_DATA", "")) / "voc2007-112.zip"
    if not archive.is_file():
        pytest.skip("BMIX_TEST_DATA names no folder that holds voc2007-112.zip")
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path)
    root = tmp_path / "VOCdevkit" / "VOC2007"
    manifest = read_voc(root, root)
    validate(manifest, str(root))
    parts = [part for split in ("train", "val") for part in (manifest.labels(split), manifest.ignored(split))]
    counts = zip(*(part.sum(0).tolist() for part in parts), strict=True)
    assert dict(zip(manifest.classes, counts, strict=True)) == PUBLISHED
    assert verify(manifest, root, str(root)).frame["digest"].nunique() == 5008
