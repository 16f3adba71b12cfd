from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bmix.data import verify as module
from bmix.data.decoding import UnusableImageError
from bmix.data.manifest import Manifest
from bmix.data.table import read_table
from bmix.data.verify import image_digest, verify
from bmix.errors import InputError
from tests.tiny import write_table


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
    Image.fromarray(np.full((9, 9), 300, np.uint16)).save(path, "PNG")


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


def make_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "does not exist"),
        (truncate, "does not decode: "),
        (make_text, "is none of JPEG, PNG"),
        (make_postscript, "is none of JPEG, PNG"),
        (make_deep, "has more than 8 bits per channel"),
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
    monkeypatch.setattr(module, "PROGRESS_SECONDS", 0.0)
    verify(*data, "labels.csv")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("verified 1 of 24 images, about ")
    assert lines[-1] == "verified 24 of 24 images, about 0 s left"


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
