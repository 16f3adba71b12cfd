from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.data.manifest import Manifest, validate
from bmix.sources.class_list import ClassList
from bmix.sources.deepfashion.read import read_deepfashion
from bmix.sources.verify import verify
from bmix.support.errors import InputError
from tests.helpers.deepfashion import ATTRIBUTES, write_benchmark, write_fine

CLOTH, IMAGES, PARTITION = "Anno/list_attr_cloth.txt", "Anno/list_attr_img.txt", "Eval/list_eval_partition.txt"
FINE, FINE_LIST = "Anno_fine/train_attr.txt", "Anno_fine/train.txt"


def refusal(folder: Path, root: Path | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        validate(read_deepfashion(folder, root or folder), str(folder))
    return caught.value


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))


def test_the_benchmark_is_read_as_a_loop_over_its_lines_reads_it(tmp_path: Path) -> None:
    folder = write_benchmark(tmp_path)
    manifest = read_deepfashion(folder, folder)
    validate(manifest, str(folder))
    verify(manifest, folder, str(folder))
    assert manifest.classes == list(ATTRIBUTES)
    parts = dict(line.split() for line in (folder / PARTITION).read_text().splitlines()[2:])
    lines = (folder / IMAGES).read_text().splitlines()[2:]
    for number, (line, (origin, row)) in enumerate(zip(lines, manifest.frame.iterrows(), strict=True), start=3):
        name, *values = line.split()
        assert (row["id"], row["path"], row["split"]) == (name, f"Img/{name}", parts[name])
        assert row["labels"] == [ATTRIBUTES[column] for column, value in enumerate(values) if value == "1"]
        assert row["ignore"] == [ATTRIBUTES[column] for column, value in enumerate(values) if value == "0"]
        assert origin == f"{folder / IMAGES}, line {number}"


@pytest.mark.parametrize("split_folder", [False, True])
def test_the_fine_grained_subset_is_read_line_by_line(tmp_path: Path, split_folder: bool) -> None:
    folder = write_fine(tmp_path, split_folder=split_folder)
    manifest = read_deepfashion(folder, folder)
    validate(manifest, str(folder))
    verify(manifest, folder, str(folder))
    place = folder / "Anno_fine" / ("split" if split_folder else "")
    for part in ("train", "val", "test"):
        names = (place / f"{part}.txt").read_text().split()
        rows = [line.split() for line in (place / f"{part}_attr.txt").read_text().splitlines()]
        assert manifest.ids(part) == names
        assert manifest.labels(part).tolist() == [[int(value) for value in row] for row in rows]
    inner = read_deepfashion(folder / "Anno_fine", folder)
    assert inner.frame["path"].tolist() == manifest.frame["path"].tolist()


def test_parts_are_mapped_and_those_unnamed_left_out(tmp_path: Path) -> None:
    folder = write_benchmark(tmp_path)
    manifest = read_deepfashion(folder, folder, {"train": "train", "val": "unlabelled"})
    assert manifest.splits() == ["train", "unlabelled"]
    assert manifest.notes["left out"] == 'the parts "test", which data.splits does not name'
    assert not manifest.labels("unlabelled").any()
    with pytest.raises(InputError, match='part "trian" is not in'):
        read_deepfashion(folder, folder, {"trian": "train"})


@pytest.mark.parametrize(
    ("file", "change", "place", "found"),
    [
        (IMAGES, lambda lines: lines[:-1], (IMAGES, 1), "declares 24 rows, and 23 follow"),
        (
            IMAGES,
            lambda lines: [*lines, lines[-1].replace("23.jpg", "24.jpg")],
            (IMAGES, 1),
            "declares 24 rows, and 25 follow",
        ),
        (IMAGES, lambda lines: [*lines[:4], lines[4] + " 1", *lines[5:]], (IMAGES, 5), "5 values"),
        (IMAGES, lambda lines: [*lines[:4], "img/x.jpg 1 -1", *lines[5:]], (IMAGES, 5), "2 values"),
        (IMAGES, lambda lines: [*lines[:4], "img/x.jpg 1 2 0 1", *lines[5:]], (IMAGES, 5), '"2" for attribute 2'),
        (IMAGES, lambda lines: [*lines[:4], "img/x.jpg 1 -0 0 1", *lines[5:]], (IMAGES, 5), '"-0" for attribute 2'),
        (IMAGES, lambda lines: [*lines[:4], "img/x.jpg 1 1-1 0 1", *lines[5:]], (IMAGES, 5), '"1-1" for attribute 2'),
        (
            IMAGES,
            lambda lines: [*lines[:4], lines[3], *lines[5:]],
            (IMAGES, 5),
            '"img/Blouse_1/img_00000001.jpg" is already in',
        ),
        (IMAGES, lambda lines: ["many", *lines[1:]], (IMAGES, 1), '"many"'),
        (IMAGES, lambda lines: ["24", *lines[2:]], (IMAGES, 2), '"img/Blouse_0/img_00000000.jpg"'),
        (CLOTH, lambda lines: [*lines[:3], "long sleeve", *lines[4:]], (CLOTH, 4), '"long sleeve"'),
        (CLOTH, lambda lines: lines[:-1], (CLOTH, 1), "declares 4 rows, and 3 follow"),
        (
            PARTITION,
            lambda lines: [*lines[:2], "img/no.jpg train", *lines[3:]],
            (PARTITION, 3),
            '"img/no.jpg" has no attributes',
        ),
        (
            PARTITION,
            lambda lines: [*lines[:2], lines[2].replace("train", "dev"), *lines[3:]],
            (PARTITION, 3),
            '"img/Blouse_0',
        ),
        (
            PARTITION,
            lambda lines: [*lines[:3], lines[2], *lines[4:]],
            (PARTITION, 4),
            '"img/Blouse_0/img_00000000.jpg" is already',
        ),
        (FINE, lambda lines: lines[:-2], (FINE_LIST, 15), "16 images in train.txt, 14 rows in train_attr.txt"),
        (FINE, lambda lines: [*lines, "0 0 1 0"], (FINE, 17), "16 images in train.txt, 17 rows"),
        (FINE_LIST, lambda lines: lines[1:], (FINE, 16), "15 images in train.txt, 16 rows in train_attr.txt"),
        (FINE, lambda lines: [lines[0], "0 1", *lines[2:]], (FINE, 2), "2 values"),
        (FINE, lambda lines: [lines[0], "0 1 -1 0", *lines[2:]], (FINE, 2), '"-1" for attribute 3'),
        (FINE, lambda lines: [lines[0], "", *lines[2:]], (FINE, 2), "0 values"),
        (FINE_LIST, lambda lines: [lines[0], lines[0], *lines[2:]], (FINE_LIST, 2), "was already at"),
        (FINE_LIST, lambda lines: [lines[0], "", *lines[2:]], (FINE_LIST, 2), "a blank line"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(
    tmp_path: Path, file: str, change: Callable[[list[str]], list[str]], place: tuple[str, int], found: str
) -> None:
    folder = (write_fine if file.startswith("Anno_fine") else write_benchmark)(tmp_path)
    edit(folder / file, change)
    error = refusal(folder)
    assert error.where == f"{folder / place[0]}, line {place[1]}"
    assert found in error.found


def test_line_ends_byte_order_marks_and_blank_lines_at_the_end_change_nothing(tmp_path: Path) -> None:
    for folder in (write_benchmark(tmp_path / "benchmark"), write_fine(tmp_path / "fine")):
        plain = read_deepfashion(folder, folder).frame
        for path in folder.rglob("*.txt"):
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
        assert read_deepfashion(folder, folder).frame.equals(plain)


def test_a_repeated_attribute_is_told_apart_by_number(tmp_path: Path) -> None:
    folder = write_benchmark(tmp_path)
    edit(folder / CLOTH, lambda lines: [line.replace("denim", "floral") for line in lines])
    manifest = read_deepfashion(folder, folder)
    assert manifest.classes == ["floral (1)", "long sleeve", "v-neck", "floral (4)"]
    assert '"floral" repeated' in manifest.notes["classes"]


@pytest.mark.parametrize("write", [write_benchmark, write_fine])
def test_listed_attributes_are_the_classes_in_their_order(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    folder = write(tmp_path)
    whole = read_deepfashion(folder, folder)
    names = ["denim", "floral"]
    manifest = read_deepfashion(folder, folder, listed=ClassList(names, "data.classes"))
    assert manifest.classes == names
    for column in ("labels", "ignore"):
        expected = [[name for name in names if name in own] for own in whole.frame[column]]
        assert manifest.frame[column].tolist() == expected
    assert manifest.notes["unlisted"] == 'attributes that are not listed, left out: "long sleeve", "v-neck"'
    with pytest.raises(InputError, match='"denims" is not an attribute'):
        read_deepfashion(folder, folder, listed=ClassList(["denims"], "data.classes"))


@pytest.mark.parametrize("write", [write_benchmark, write_fine])
def test_attributes_that_no_training_image_has_are_left_out_and_told(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    folder = write(tmp_path)
    whole = read_deepfashion(folder, folder)
    assert "untrained" not in whole.notes
    rows = whole.frame[["split", "labels"]].to_numpy().tolist()
    file = folder / (IMAGES if write is write_benchmark else FINE)
    absent = {write_benchmark: "-1", write_fine: "0"}[write]
    parts = [] if write is write_fine else [None, None, *(split for split, _ in rows)]

    def without_the_second(lines: list[str]) -> list[str]:
        return [
            " ".join([*line.split()[:-3], absent, *line.split()[-2:]]) if not parts or parts[n] == "train" else line
            for n, line in enumerate(lines)
        ]

    edit(file, without_the_second)
    manifest = read_deepfashion(folder, folder)
    validate(manifest, str(folder))
    assert manifest.classes == ["floral", "v-neck", "denim"]
    assert manifest.notes["untrained"] == 'attributes that no training image has, left out: "long sleeve"'
    assert manifest.frame["labels"].tolist() == [[name for name in row if name != "long sleeve"] for _, row in rows]
    assert not manifest.frame["ignore"].map(lambda names: "long sleeve" in names).any()


def test_layouts_that_are_absent_or_both_there_are_refused(tmp_path: Path) -> None:
    assert "has neither list_attr_img.txt nor train_attr.txt" in refusal(tmp_path).found
    assert refusal(tmp_path / "none").found.endswith("is not a folder")
    folder = write_fine(write_benchmark(tmp_path))
    assert "holds several sets of attributes" in refusal(folder).found
    assert read_deepfashion(folder / "Anno", folder).frame["path"].iloc[0].startswith("Img/img/")
    (folder / PARTITION).unlink()
    assert refusal(folder / "Anno", folder).found.startswith("no list_eval_partition.txt here")


def test_wrong_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    folder = write_benchmark(tmp_path)
    path = folder / PARTITION
    path.write_bytes(path.read_bytes().replace(b"Blouse_0", b"Blous\xe9_0", 1))
    assert refusal(folder).where == f"{path}, line 3"


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_mutated_file_gives_a_manifest_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    fine = data.draw(st.booleans())
    folder = tmp_path_factory.getbasetemp() / f"fuzz-{fine}"
    if not folder.exists():
        (write_fine if fine else write_benchmark)(folder, images=12)
    path = data.draw(st.sampled_from(sorted(folder.rglob("*.txt"))))
    content = path.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 8)))
    try:
        path.write_bytes(content[:start] + data.draw(st.binary(max_size=6)) + content[end:])
        assert isinstance(read_deepfashion(folder, folder), Manifest)
    except InputError:
        pass
    finally:
        path.write_bytes(content)
