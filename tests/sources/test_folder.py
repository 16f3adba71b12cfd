from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.data.manifest import Manifest, validate
from bmix.sources.class_list import ClassList
from bmix.sources.folder.read import read_folder
from bmix.sources.verify import verify
from bmix.support.errors import InputError
from tests.helpers.folder import write_folder


def refusal(folder: Path, split_of: dict[str, str] | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        validate(read_folder(folder, folder, split_of), str(folder))
    return caught.value


def touch(*paths: Path, content: bytes = b"image") -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.mark.parametrize("parts", [True, False])
def test_a_folder_per_class_is_read_as_a_loop_over_its_files_reads_it(tmp_path: Path, parts: bool) -> None:
    folder = write_folder(tmp_path / "photos", images=36, parts=parts)
    manifest = read_folder(folder, tmp_path)
    validate(manifest, str(folder))
    verify(manifest, tmp_path, str(folder))
    expected: dict[str, list[str]] = {}
    for file in sorted(folder.rglob("*.png")):
        part = f"{file.parts[-3]}/" if parts else ""
        expected.setdefault(part + file.name, []).append(file.parent.name)
    assert dict(zip(manifest.frame["id"], manifest.frame["labels"], strict=True)) == expected
    assert any(len(labels) > 1 for labels in expected.values())
    assert manifest.frame["id"].tolist() == sorted(expected)
    assert manifest.classes == ["bird", "cat", "dog"]
    assert manifest.splits() == (["train", "val", "test"] if parts else ["train"])
    assert manifest.frame.index[0] == str(tmp_path / manifest.frame["path"].iloc[0])
    if parts:
        assert all(name.startswith(f"{split}/") for name, split in manifest.frame[["id", "split"]].to_numpy())


def test_links_to_one_file_are_one_image_whatever_their_names(tmp_path: Path) -> None:
    touch(tmp_path / "train/cat/a.jpg", tmp_path / "train/cat/b.jpg")
    for label in ("ant", "dog"):
        (tmp_path / "train" / label).mkdir()
    (tmp_path / "train/ant/x.jpg").symlink_to("../cat/a.jpg")
    os.link(tmp_path / "train/cat/b.jpg", tmp_path / "train/dog/y.jpg")
    (tmp_path / "train/dog/a.jpg").symlink_to("../cat/a.jpg")
    frame = read_folder(tmp_path, tmp_path).frame
    assert frame["id"].tolist() == ["train/a.jpg", "train/b.jpg"]
    assert frame["labels"].tolist() == [["ant", "cat", "dog"], ["cat", "dog"]]
    assert frame["path"].tolist() == ["train/cat/a.jpg", "train/cat/b.jpg"]


def test_one_name_with_other_bytes_is_refused_and_in_another_part_it_is_another_image(tmp_path: Path) -> None:
    touch(tmp_path / "train/cat/a.jpg", tmp_path / "train/dog/b.jpg")
    touch(tmp_path / "val/cat/a.jpg", content=b"other")
    assert read_folder(tmp_path, tmp_path).ids("val") == ["val/a.jpg"]
    touch(tmp_path / "train/dog/a.jpg", content=b"imagf")
    error = refusal(tmp_path)
    assert error.where == str(tmp_path / "train/dog/a.jpg")
    assert error.found == f"another image than {tmp_path}/train/cat/a.jpg, under the same name"
    assert error.remedy == "rename one of the two files"


def test_images_are_found_at_any_depth_below_a_class(tmp_path: Path) -> None:
    touch(tmp_path / "cat/2020/a.jpg", tmp_path / "cat/2021/a.jpg", tmp_path / "dog/2020/a.jpg")
    frame = read_folder(tmp_path, tmp_path).frame
    assert frame["id"].tolist() == ["2020/a.jpg", "2021/a.jpg"]
    assert frame["labels"].tolist() == [["cat", "dog"], ["cat"]]


def test_what_is_no_image_is_left_out_and_counted(tmp_path: Path) -> None:
    touch(
        tmp_path / "train/cat/a.JPG",
        tmp_path / "train/cat/b.JpEg",
        tmp_path / "train/cat/notes.txt",
        tmp_path / "train/cat/.DS_Store",
    )
    touch(tmp_path / "train/Thumbs.db", tmp_path / ".git/b.jpg", tmp_path / "readme.txt", tmp_path / "train/cat/raw")
    manifest = read_folder(tmp_path, tmp_path)
    assert manifest.ids("train") == ["train/a.JPG", "train/b.JpEg"]
    assert manifest.notes["skipped"] == "files that are no images: 2 .txt, 3 hidden, 1 without a suffix"


def test_pictures_in_formats_that_are_not_read_are_told_apart(tmp_path: Path) -> None:
    touch(tmp_path / "cat/a.jpg", tmp_path / "cat/b.HEIC", tmp_path / "dog/c.heic", tmp_path / "dog/notes.txt")
    notes = read_folder(tmp_path, tmp_path).notes
    assert notes["other formats"] == "pictures in formats that are not read: 2 .heic"
    assert notes["skipped"] == "files that are no images: 1 .txt"


@pytest.mark.parametrize("parts", [True, False])
def test_unlabelled_images_lie_in_a_folder_of_their_own(tmp_path: Path, parts: bool) -> None:
    folder = write_folder(tmp_path, parts=parts)
    touch(folder / "unlabelled/a.png", folder / "unlabelled/sub/a.png")
    manifest = read_folder(folder, folder)
    assert manifest.ids("unlabelled") == ["unlabelled/a.png", "unlabelled/sub/a.png"]
    assert not manifest.labels("unlabelled").any()
    assert manifest.classes == ["bird", "cat", "dog"]


def test_parts_are_mapped_to_splits(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "train").rename(folder / "2007")
    manifest = read_folder(folder, folder, {"2007": "train", "val": "unlabelled"})
    assert manifest.splits() == ["train", "unlabelled"]
    assert manifest.ids("train")[0].startswith("2007/")
    assert manifest.notes["left out"] == 'the folders "test", which data.splits does not name'
    assert 'part "2008" is not in' in refusal(folder, {"2008": "train"}).found


@pytest.mark.parametrize(
    ("parts", "splits"),
    [
        (["train", "validation"], ["train", "val"]),
        (["train", "valid", "test"], ["train", "val", "test"]),
        (["Train", "Val"], ["train", "val"]),
        (["TRAIN_SET", "TEST_SET"], ["train", "test"]),
        (["training", "testing"], ["train", "test"]),
        (["train2017", "val2017"], ["train", "val"]),
        (["train", "dev", "holdout"], ["train", "val", "test"]),
        (["Training Data", "Evaluation Data"], ["train", "val"]),
    ],
)
def test_folders_called_as_splits_are_splits(tmp_path: Path, parts: list[str], splits: list[str]) -> None:
    for number, part in enumerate(parts):
        touch(tmp_path / part / "cat" / f"{number}.jpg", tmp_path / part / "dog" / f"{number}0.jpg")
    manifest = read_folder(tmp_path, tmp_path)
    assert manifest.classes == ["cat", "dog"]
    assert manifest.splits() == splits
    for number, (part, split) in enumerate(zip(parts, splits, strict=True)):
        assert manifest.ids(split) == [f"{part}/{number}.jpg", f"{part}/{number}0.jpg"]
        assert part == split or f"{split} from {part}" in manifest.notes["splits"]


def test_two_folders_for_one_split_are_refused_until_data_splits_says_which(tmp_path: Path) -> None:
    touch(tmp_path / "train/cat/a.jpg", tmp_path / "val/cat/b.jpg", tmp_path / "validation/cat/c.jpg")
    assert refusal(tmp_path).found == 'the folders "val", "validation" all say val'
    split_of = {"train": "train", "val": "val", "validation": "test"}
    assert read_folder(tmp_path, tmp_path, split_of).splits() == ["train", "val", "test"]


def test_a_class_may_be_named_train_but_splits_beside_other_folders_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "train/a.jpg", tmp_path / "car/b.jpg")
    assert read_folder(tmp_path, tmp_path).classes == ["car", "train"]
    (tmp_path / "val").mkdir()
    assert refusal(tmp_path).found == 'the splits "train", "val" beside "car"'
    assert "data.splits: train=train" in refusal(tmp_path).remedy
    shutil.rmtree(tmp_path / "val")
    (tmp_path / "train").rename(tmp_path / "Testing")
    assert refusal(tmp_path).found == 'the split "Testing" beside "car"'


def test_a_split_of_class_folders_beside_another_folder_is_no_class(tmp_path: Path) -> None:
    touch(tmp_path / "train/cat/a.jpg", tmp_path / "train/dog/b.jpg", tmp_path / "raw/c.jpg")
    assert refusal(tmp_path).found == 'the split "train" beside "raw"'
    assert read_folder(tmp_path, tmp_path, {"train": "train"}).classes == ["cat", "dog"]


@pytest.mark.parametrize("parts", [True, False])
def test_listed_classes_give_the_order_and_leave_other_folders_out(tmp_path: Path, parts: bool) -> None:
    folder = write_folder(tmp_path, images=36, parts=parts)
    manifest = read_folder(folder, folder, listed=ClassList(["dog", "bird"], "data.classes"))
    assert manifest.classes == ["dog", "bird"]
    assert manifest.classes_listed
    assert manifest.notes["unlisted"] == 'class folders that are not listed are left out: "cat"'
    everything = read_folder(folder, folder).frame
    expected = {
        name: [label for label in ("dog", "bird") if label in labels]
        for name, labels in zip(everything["id"], everything["labels"], strict=True)
        if labels != ["cat"]
    }
    assert dict(zip(manifest.frame["id"], manifest.frame["labels"], strict=True)) == expected
    with pytest.raises(InputError, match=r'data\.classes: "dogs" is not a class folder'):
        read_folder(folder, folder, listed=ClassList(["dogs"], "data.classes"))


def test_a_class_that_is_listed_may_be_called_as_a_split(tmp_path: Path) -> None:
    touch(tmp_path / "valid/a.jpg", tmp_path / "invalid/b.jpg")
    assert "list every class in data.classes" in refusal(tmp_path).remedy
    listed = ClassList(["valid", "invalid"], "classes.txt")
    assert read_folder(tmp_path, tmp_path, listed=listed).frame["labels"].tolist() == [["valid"], ["invalid"]]


@pytest.mark.parametrize("parts", [True, False])
def test_a_folder_in_a_folder_is_entered(tmp_path: Path, parts: bool) -> None:
    folder = write_folder(tmp_path / "photos", parts=parts)
    inner = tmp_path / "archive" / "dataset-1"
    shutil.copytree(folder, inner / "flowers")
    touch(inner / "readme.txt", tmp_path / "archive" / "__MACOSX" / "x.jpg")
    direct, nested = read_folder(folder, folder), read_folder(inner.parent, tmp_path)
    assert nested.frame["id"].tolist() == direct.frame["id"].tolist()
    assert nested.frame["labels"].tolist() == direct.frame["labels"].tolist()
    assert nested.frame["path"].iloc[0] == f"archive/dataset-1/flowers/{direct.frame['path'].iloc[0]}"
    assert nested.notes["folder"] == "dataset-1/flowers, the only one there"
    verify(nested, tmp_path, str(folder))


def test_a_lone_class_folder_is_not_entered(tmp_path: Path) -> None:
    touch(tmp_path / "cat/a.jpg", tmp_path / "cat/2020/b.jpg")
    assert read_folder(tmp_path, tmp_path).classes == ["cat"]


def test_splits_within_class_folders_are_refused(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        touch(tmp_path / label / "train" / "a.jpg", tmp_path / label / "val" / "b.jpg")
    error = refusal(tmp_path)
    assert (error.where, error.found) == (str(tmp_path / "cat"), 'the splits "train", "val" within a class folder')
    assert error.expected == f"{tmp_path}/SPLIT/cat"


@pytest.mark.parametrize("top", ["", "train/", "Valid/"])
def test_folders_of_another_layout_are_no_classes(tmp_path: Path, top: str) -> None:
    touch(tmp_path / f"{top}images/a.jpg", tmp_path / f"{top}labels/a.txt")
    assert 'the folders "images", "labels", which are no names of classes' in refusal(tmp_path).found


@pytest.mark.parametrize("names", [("cat_train", "cat_val"), ("Train cat", "Test cat"), ("cat-training", "cat-valid")])
def test_folders_that_name_a_class_and_a_split_are_refused_unless_they_are_listed(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    touch(*(tmp_path / name / "a.jpg" for name in names), tmp_path / "dog/b.jpg")
    assert "which name a class and a split each" in refusal(tmp_path).found
    read_folder(tmp_path, tmp_path, {}, ClassList([*names, "dog"], "data.classes"))


def test_a_train_station_is_a_class(tmp_path: Path) -> None:
    touch(tmp_path / "train_station/a.jpg", tmp_path / "test_tube/b.jpg", tmp_path / "station/c.jpg")
    assert read_folder(tmp_path, tmp_path).classes == ["station", "test_tube", "train_station"]


@pytest.mark.parametrize("name", ["cat_dog", "Dog, Cat", "cat and dog"])
def test_a_folder_for_two_classes_beside_theirs_is_refused_unless_it_is_listed(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "train/cat/a.jpg", tmp_path / "train/dog/b.jpg", tmp_path / f"train/{name}/c.jpg")
    error = refusal(tmp_path)
    assert error.found == f'the folder "{name}" beside "cat", "dog"'
    assert error.where == str(tmp_path / "train")
    assert read_folder(tmp_path, tmp_path, {}, ClassList(["cat", "dog", name], "data.classes")).classes[-1] == name


def test_folders_inside_those_of_the_classes_are_told(tmp_path: Path) -> None:
    touch(tmp_path / "animals/cat/a.jpg", tmp_path / "animals/dog/b.jpg", tmp_path / "things/c.jpg")
    assert read_folder(tmp_path, tmp_path).notes["inner folders"] == (
        '2 images in folders inside those of the classes are of that class, e.g. "animals/cat/a.jpg" of "animals"'
    )


def test_misplaced_images_links_to_folders_and_links_to_nothing_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "train/cat/a.jpg", tmp_path / "train/b.jpg")
    assert refusal(tmp_path).found == "an image that is in no class folder"
    (tmp_path / "train/b.jpg").unlink()
    (tmp_path / "train/dog").symlink_to("cat")
    assert refusal(tmp_path).where == str(tmp_path / "train/dog")
    (tmp_path / "train/dog").unlink()
    (tmp_path / "train/cat/c.jpg").symlink_to("none.jpg")
    assert refusal(tmp_path).found == "a link to nothing"
    (tmp_path / "train/cat/c.jpg").unlink()
    (tmp_path / "train/cat/c.jpg").symlink_to("c.jpg")
    assert refusal(tmp_path).found == "a link to nothing"


def test_a_link_out_of_the_root_is_refused_by_verify(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos")
    shutil.copy(folder / "train/bird/000.png", tmp_path / "outside.png")
    (folder / "train/bird/inside.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(InputError, match="leads out of the image root"):
        verify(read_folder(folder, folder), folder, str(folder))


def test_folders_that_cannot_be_a_data_set_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).found == "the data set is empty"
    assert refusal(tmp_path / "none").found.endswith("is not a folder")
    touch(tmp_path / "train/cat/a.jpg")
    (tmp_path / "train/dog").mkdir()
    assert refusal(tmp_path).found == 'no positive in split train for "dog"'
    with pytest.raises(InputError, match="does not hold"):
        read_folder(tmp_path, tmp_path / "train")
    touch(Path(os.fsdecode(os.fsencode(tmp_path) + b"/train/cat/\xff.jpg")))
    assert "is not UTF-8" in refusal(tmp_path).found


NAMES = st.sampled_from(
    ["train", "val", "Testing", "images", "unlabelled", "cat", "dog", "a.jpg", "b.PNG", ".x", "note.txt", "train.jpg"]
)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.lists(NAMES, min_size=1, max_size=4).map(tuple), max_size=6), st.booleans())
def test_any_tree_gives_a_manifest_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, trees: set[tuple[str, ...]], mapped: bool
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    for number, parts in enumerate(sorted(trees)):
        path = folder.joinpath(*parts)
        if not any(parent.is_file() for parent in path.parents) and not path.exists():
            touch(path, content=bytes([number % 2]))
    try:
        manifest = read_folder(folder, folder, {"train": "train"} if mapped else {})
    except InputError:
        return
    assert isinstance(manifest, Manifest)
    assert manifest.frame["id"].is_unique
