from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bmix.data.decoding import UnusableImageError, measure
from bmix.data.manifest import Manifest
from bmix.sources import verify as module
from bmix.sources.table.read import read_table
from bmix.sources.verify import image_digest, verify
from bmix.support import pace
from bmix.support.errors import InputError
from tests.helpers.tiny import write_table


@pytest.fixture
def data(tmp_path: Path) -> tuple[Manifest, Path]:
    return read_table(write_table(tmp_path, images=24), tmp_path, 0), tmp_path / "images"


def refusal(manifest: Manifest, root: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        verify(manifest, root, "labels.csv")
    return caught.value


def test_every_image_gets_the_digest_of_its_bytes(data: tuple[Manifest, Path]) -> None:
    manifest, root = data
    frame = verify(manifest, root, "labels.csv").frame
    for path, digest in zip(frame["path"], frame["digest"], strict=True):
        assert digest == hashlib.blake2b((root / path).read_bytes(), digest_size=8).hexdigest()
    assert (manifest.frame["digest"] == "").all()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def make_text(path: Path) -> None:
    path.write_text("no image")


def make_postscript(path: Path) -> None:
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")


def make_deep(path: Path) -> None:
    Image.fromarray(np.full((9, 9), 300, np.float32)).save(path, "TIFF")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_way_out(path: Path) -> None:
    outside = path.parents[2] / "outside.png"
    path.rename(outside)
    path.symlink_to(outside)


def make_empty(path: Path) -> None:
    path.write_bytes(b"")


def make_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "does not exist"),
        (truncate, "does not decode: "),
        (make_empty, "is empty"),
        (make_text, "is none of JPEG, PNG"),
        (make_postscript, "is none of JPEG, PNG"),
        (make_deep, "holds signed or 32-bit numbers"),
        (make_folder, "is not a regular file"),
        (make_pipe, "is not a regular file"),
        (make_way_out, "leads out of the image root"),
        (make_loop, "cannot be read: "),
    ],
)
@pytest.mark.parametrize("row", [4, 5])
def test_an_unusable_image_is_named_with_its_row(
    data: tuple[Manifest, Path], spoil: Callable[[Path], None], reason: str, row: int
) -> None:
    manifest, root = data
    path = manifest.frame["path"].iloc[row]
    spoil(root / path)
    error = refusal(manifest, root)
    assert error.where == f"{root.parent}/labels.csv, line {row + 2}"
    assert error.found.startswith(f'"{path}" {reason}')


def test_a_missing_image_is_told_with_the_name_that_is_there(data: tuple[Manifest, Path]) -> None:
    manifest, root = data
    first, second, third = (root / path for path in manifest.frame["path"].iloc[[0, 2, 4]])
    first.rename(first.with_suffix(".JPG"))
    second.rename(second.with_suffix(".jpeg"))
    third.unlink()
    lines = refusal(manifest, root).found.split("\n    ")
    assert lines[1].endswith('"a/000.jpg" does not exist, but "000.JPG" does')
    assert lines[2].endswith('"a/002.jpg" does not exist, but "002.jpeg" does')
    assert lines[3].endswith('"a/004.jpg" does not exist')


def test_skip_leaves_the_rows_out_and_says_so(data: tuple[Manifest, Path], capsys: pytest.CaptureFixture[str]) -> None:
    manifest, root = data
    first, second = manifest.frame["path"].iloc[[4, 9]]
    truncate(root / first)
    (root / second).unlink()
    result = verify(manifest, root, "labels.csv", unreadable="skip")
    assert result.frame["path"].tolist() == [path for path in manifest.frame["path"] if path not in (first, second)]
    assert (result.frame["digest"].str.len() == 16).all()
    note = result.notes["unreadable"]
    assert note.startswith("2 of 24 images left out as unusable\n")
    assert f'line 6: "{first}" does not decode' in note
    assert f'line 11: "{second}" does not exist' in note
    assert capsys.readouterr().err == f"labels.csv: {note}\n"
    with pytest.raises(InputError, match=r"or set data\.unreadable to skip"):
        verify(manifest, root, "labels.csv")


def test_rows_of_one_path_are_examined_once(data: tuple[Manifest, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, root = data
    twice = replace(manifest, frame=pd.concat([manifest.frame, manifest.frame]))
    looked_at = watch(monkeypatch)
    digests = verify(twice, root, "labels.csv").frame["digest"]
    assert len(looked_at) == 24
    assert digests.iloc[:24].tolist() == digests.iloc[24:].tolist()
    (root / manifest.frame["path"].iloc[0]).unlink()
    assert refusal(twice, root).found.startswith("2 unusable images")
    assert len(verify(twice, root, "labels.csv", unreadable="skip").frame) == 46


def test_tiny_pictures_are_counted(data: tuple[Manifest, Path], tmp_path: Path) -> None:
    manifest, root = data
    assert "tiny" not in verify(manifest, root, "labels.csv").notes
    for row, size in enumerate([(15, 90), (16, 16), (200, 3)]):
        Image.new("RGB", size).save(root / manifest.frame["path"].iloc[row])
    settle(root)
    memo = tmp_path / "memo"
    for _ in range(2):
        assert verify(manifest, root, "labels.csv", memo=memo).notes["tiny"] == "2 images with a side under 16 pixels"


def test_odd_pictures_and_how_they_were_read_are_counted(data: tuple[Manifest, Path], tmp_path: Path) -> None:
    manifest, root = data
    places = [root / path for path in manifest.frame["path"] if path.endswith(".png")]
    rng = np.random.default_rng(0)
    Image.new("RGB", (40, 40), (9, 200, 9)).save(places[0])
    Image.fromarray(rng.integers(0, 30, (40, 40, 3), dtype=np.uint8)).save(places[1])
    Image.new("L", (40, 40), 0).save(places[2])
    for place, colour in zip(places[3:6], ("black", "navy", "white"), strict=True):
        drawing = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
        drawing.paste(colour, (5, 5, 20, 20))
        drawing.save(place)
    for place, top in zip(places[6:10], (200, 4000, 3000, 60_000), strict=True):
        Image.fromarray(np.linspace(0, top, 1600).reshape(40, 40).astype(np.uint16)).save(place)
    settle(root)
    shown = [str(place.relative_to(root)) for place in places]
    for _ in range(2):
        notes = verify(manifest, root, "labels.csv", memo=tmp_path / "memo").notes
        assert notes["nearly constant"] == f'2 images are nearly constant, e.g. "{shown[0]}"'
        assert notes["nearly black"] == f'1 image is nearly black, e.g. "{shown[1]}"'
        assert notes["transparent"] == "images with transparent parts are shown on a ground: 2 on white, 1 on black"
        assert notes["mixed depth"] == (
            "16-bit grey: 1 read as 8 bits, no value above 255; 2 read as 12 bits, no value above 4,095; "
            "1 read as 16 bits; equal values give unequal grey, so save all of them with 8 bits by one rule"
        )
    for place in (places[6], places[9]):
        place.unlink()
    notes = verify(manifest, root, "labels.csv", unreadable="skip").notes
    assert notes["depth"] == "16-bit grey: 2 read as 12 bits, no value above 4,095"
    assert "mixed depth" not in notes


def watch(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The files that are decoded from now on."""
    looked_at: list[object] = []
    monkeypatch.setattr(module, "measure", lambda file: looked_at.append(file) or measure(file))
    return looked_at


def settle(root: Path) -> None:
    """Date the files back, as files are that nobody writes any more."""
    for number, path in enumerate(sorted(root.rglob("*.*"))):
        os.utime(path, ns=(0, 10**18 + number))


def test_what_did_not_change_is_not_read_again(data: tuple[Manifest, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, root = data
    memo = root.parent / "kept" / "memo"
    settle(root)
    looked_at = watch(monkeypatch)
    first = verify(manifest, root, "labels.csv", memo=memo)
    assert len(looked_at) == 24
    pd.testing.assert_frame_equal(verify(manifest, root, "labels.csv", memo=memo).frame, first.frame)
    assert len(looked_at) == 24
    changed, gone, spoilt = manifest.frame["path"].iloc[[3, 5, 7]]
    Image.new("RGB", (30, 30), "red").save(root / changed)
    (root / gone).unlink()
    make_text(root / spoilt)
    again = verify(manifest, root, "labels.csv", unreadable="skip", memo=memo)
    assert len(looked_at) == 26
    fresh = verify(manifest, root, "labels.csv", unreadable="skip")
    pd.testing.assert_frame_equal(again.frame, fresh.frame)
    assert again.notes == fresh.notes


def test_a_memo_is_kept_when_the_work_is_refused_midway(
    data: tuple[Manifest, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, root = data
    settle(root)
    make_text(root / manifest.frame["path"].iloc[6])
    looked_at = watch(monkeypatch)
    for _ in range(2):
        with pytest.raises(InputError):
            verify(manifest, root, "labels.csv", memo=root.parent / "memo")
    assert len(looked_at) == 24 + 1


def test_a_file_changed_just_now_is_not_remembered(
    data: tuple[Manifest, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, root = data
    looked_at = watch(monkeypatch)
    for path in root.rglob("*.*"):
        path.touch()
    for _ in range(2):
        verify(manifest, root, "labels.csv", memo=root.parent / "memo")
    assert len(looked_at) == 48


def test_a_memo_of_another_root_is_not_believed(data: tuple[Manifest, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, root = data
    settle(root)
    verify(manifest, root, "labels.csv", memo=root.parent / "memo")
    other = root.parent / "other"
    shutil.copytree(root, other)
    looked_at = watch(monkeypatch)
    verify(manifest, other, "labels.csv", memo=root.parent / "memo")
    assert len(looked_at) == 24


def test_a_damaged_memo_is_ignored_and_rewritten(data: tuple[Manifest, Path]) -> None:
    manifest, root = data
    memo = root.parent / "memo"
    settle(root)
    expected = verify(manifest, root, "labels.csv", memo=memo).frame
    whole = memo.read_bytes()
    for damaged in (b"", whole[:40], whole[:-1], whole[:50] + b"\x00\xff" + whole[52:], b"PAR1" * 30):
        memo.write_bytes(damaged)
        pd.testing.assert_frame_equal(verify(manifest, root, "labels.csv", memo=memo).frame, expected)
        assert memo.read_bytes() == whole


def test_a_memo_that_cannot_be_written_is_done_without(data: tuple[Manifest, Path]) -> None:
    manifest, root = data
    settle(root)
    taken = root.parent / "labels.csv"
    assert len(verify(manifest, root, "labels.csv", memo=taken / "memo").frame) == 24


def test_a_link_within_the_root_is_followed(data: tuple[Manifest, Path]) -> None:
    manifest, root = data
    first, second = (root / path for path in manifest.frame["path"].iloc[:2])
    second.unlink()
    second.symlink_to(first)
    digests = verify(manifest, root, "labels.csv").frame["digest"]
    assert digests.iloc[0] == digests.iloc[1]


def test_a_picture_of_too_many_pixels_is_refused(data: tuple[Manifest, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, root = data
    path = manifest.frame["path"].iloc[1]
    Image.fromarray(np.zeros((90, 90), np.uint8)).save(root / path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8000)
    assert refusal(manifest, root).found == f'"{path}" has 90 x 90 pixels, too many to be safe'
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    assert refusal(manifest, root).found == f'"{path}" has too many pixels to be safe'


def test_the_first_faults_are_reported_together(data: tuple[Manifest, Path]) -> None:
    manifest, root = data
    for path in manifest.frame["path"].iloc[3:15]:
        (root / path).unlink()
    error = refusal(manifest, root)
    lines = error.found.split("\n    ")
    assert lines[0] == "12 unusable images"
    assert [line.split(", line ")[1][:2].strip(":") for line in lines[1:-1]] == [str(n) for n in range(5, 13)]
    assert lines[-1] == "and 4 more"


def test_a_root_that_is_no_folder_is_refused(data: tuple[Manifest, Path]) -> None:
    manifest, root = data
    assert refusal(manifest, root / "none").where == "data.root"


def test_long_work_tells_the_time_left(
    data: tuple[Manifest, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pace, "SECONDS", 0.0)
    monkeypatch.setattr(module, "EXAMINED_TOGETHER", 5)
    verify(*data, "labels.csv")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("verified 5 of 24 images, about ")
    assert lines[-1] == "verified 24 of 24 images, about 0 s left"


def test_a_link_to_a_folder_is_followed_within_the_root_and_no_further(data: tuple[Manifest, Path]) -> None:
    manifest, root = data
    digests = verify(manifest, root, "labels.csv").frame["digest"].tolist()
    (root / "a").rename(root / "kept")
    (root / "a").symlink_to("kept")
    assert verify(manifest, root, "labels.csv").frame["digest"].tolist() == digests
    (root / "a").unlink()
    (root / "kept").rename(root.parent / "outside")
    (root / "a").symlink_to(root.parent / "outside")
    assert "12 unusable images" in refusal(manifest, root).found
    assert refusal(manifest, root).found.count("leads out of the image root") == 8


@pytest.mark.slow
@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_broken_bytes_are_refused_or_decode_and_nothing_else(tmp_path: Path, format: str) -> None:
    path = tmp_path / "picture"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 12, 3), np.uint8)).save(path, format)
    whole = path.read_bytes()

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, len(whole) - 1), st.binary(max_size=6), st.booleans())
    def spoil(position: int, patch: bytes, cut: bool) -> None:
        path.write_bytes(whole[:position] + patch + (b"" if cut else whole[position + len(patch) :]))
        with warnings.catch_warnings(), contextlib.suppress(UnusableImageError):
            warnings.simplefilter("ignore")
            assert len(image_digest(tmp_path, "picture")) == 16

    spoil()
