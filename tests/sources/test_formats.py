from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bmix.data.decoding import UnusableImageError, decode, measure

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (12, 20, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (12, 20), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (12, 20)).astype(np.uint16)
ALPHA = RNG.integers(0, 256, (12, 20), dtype=np.uint8)


def decoded(path: Path) -> np.ndarray:
    picture = decode(path)
    assert picture.mode == "RGB"
    return np.asarray(picture)


def threefold(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=2)


TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_pictures_are_turned_as_exif_says(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOUR).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(decoded(tmp_path / "x.png"), TURNS[orientation](COLOUR))


def test_cmyk_is_ink_on_white(tmp_path: Path) -> None:
    ink = RNG.integers(0, 256, (12, 20, 4), dtype=np.uint8)
    Image.fromarray(ink, "CMYK").save(tmp_path / "x.tif")
    expected = (255 - ink[..., :3].astype(float)) * (255 - ink[..., 3:].astype(float)) / 255
    assert np.abs(decoded(tmp_path / "x.tif") - expected).max() <= 1
    Image.new("CMYK", (16, 16), (0, 200, 200, 0)).save(tmp_path / "x.jpg")
    assert np.abs(decoded(tmp_path / "x.jpg").astype(int) - (255, 55, 55)).max() <= 3


def test_grey_and_transparency(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(decoded(tmp_path / "grey.png"), threefold(GREY))
    Image.fromarray(np.stack([GREY, ALPHA], axis=2), "LA").save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(decoded(tmp_path / "alpha.png"), threefold(GREY))
    Image.fromarray(np.dstack([COLOUR, ALPHA]), "RGBA").save(tmp_path / "colour.png")
    np.testing.assert_array_equal(decoded(tmp_path / "colour.png"), COLOUR)
    Image.fromarray(GREY > 127).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(decoded(tmp_path / "bits.png"), threefold(np.where(GREY > 127, 255, 0)))


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_a_palette_with_transparency_shows_its_colours(tmp_path: Path) -> None:
    colours = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
    picture = Image.fromarray(GREY, "L")
    picture.putpalette(colours.tobytes())
    picture.save(tmp_path / "x.png", transparency=bytes(range(256)))
    np.testing.assert_array_equal(decoded(tmp_path / "x.png"), colours[GREY])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_of_grey_are_rounded_to_eight(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(DEEP).save(tmp_path / f"x.{suffix}")
    expected = np.floor(DEEP / 65535 * 255 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(decoded(tmp_path / f"x.{suffix}"), threefold(expected))


def test_a_deep_tiff_that_counts_from_white_is_inverted(tmp_path: Path) -> None:
    Image.fromarray(DEEP).save(tmp_path / "x.tif", tiffinfo={262: 0})
    content = (tmp_path / "x.tif").read_bytes()
    tag = struct.pack("<HHI", 262, 3, 1)
    at = content.index(tag) + len(tag)
    (tmp_path / "x.tif").write_bytes(content[:at] + b"\0\0" + content[at + 2 :])
    expected = 255 - np.floor(DEEP / 65535 * 255 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(decoded(tmp_path / "x.tif"), threefold(expected))


def test_of_an_animation_the_first_picture_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 12), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert (decoded(tmp_path / "x.gif") == (255, 0, 0)).all()


def bomb(path: Path) -> None:
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b""), b"IEND"]
    framed = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(framed))


def cut(path: Path) -> None:
    Image.fromarray(RNG.integers(0, 256, (80, 120, 3), dtype=np.uint8)).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:3000])


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (cut, "does not decode: "),
    "empty": (Path.touch, "is none of JPEG, PNG"),
    "text": (lambda path: path.write_text("no image\n"), "is none of JPEG, PNG"),
    "bomb": (bomb, "too many pixels"),
    "folder": (Path.mkdir, "is not a regular file"),
    "pipe": (os.mkfifo, "is not a regular file"),
    "missing": (lambda path: None, "No such file"),
    "float": (lambda path: Image.new("F", (9, 9)).save(path, "TIFF"), "more than 16 bits per channel"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("look", [decode, measure])
def test_the_unusable_is_refused(tmp_path: Path, name: str, look: Callable[[Path], object]) -> None:
    make, reason = REFUSED[name]
    make(tmp_path / "x.jpg")
    with pytest.raises(UnusableImageError, match=reason):
        look(tmp_path / "x.jpg")


@pytest.mark.parametrize("progressive", [False, True])
def test_measuring_finds_every_cut_that_decoding_finds(tmp_path: Path, progressive: bool) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray(RNG.integers(0, 256, (90, 130, 3), dtype=np.uint8)).save(path, "JPEG", progressive=progressive)
    whole = path.read_bytes()
    assert measure(path) == (130, 90)
    for length in range(100, len(whole) - 2, len(whole) // 25):
        path.write_bytes(whole[:length])
        for look in (decode, measure):
            with pytest.raises(UnusableImageError):
                look(path)


def test_a_large_jpeg_is_decoded_in_part(tmp_path: Path) -> None:
    soft = Image.fromarray(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((800, 600), Image.Resampling.BICUBIC)
    soft.save(tmp_path / "x.jpg", quality=95)
    assert decode(tmp_path / "x.jpg", at_least=301).size == (800, 600)
    part = decode(tmp_path / "x.jpg", at_least=100)
    assert part.size == (400, 300)
    square = [np.asarray(picture.resize((100, 100), Image.Resampling.BILINEAR)).astype(int) for picture in (soft, part)]
    assert np.abs(square[0] - square[1]).max() <= 6
