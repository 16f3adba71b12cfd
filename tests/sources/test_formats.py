from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bmix.data.decoding import Conversion, UnusableImageError, decode, measure, upright

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


def test_grey_and_bits(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(decoded(tmp_path / "grey.png"), threefold(GREY))
    Image.fromarray(GREY > 127).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(decoded(tmp_path / "bits.png"), threefold(np.where(GREY > 127, 255, 0)))


def on_ground(colour: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Each pixel mixed with white, or with black where the visible part is light."""
    weights = opacity.astype(float)
    luminance = (colour * [0.299, 0.587, 0.114]).sum(2)
    ground = 0.0 if (weights * luminance).sum() / weights.sum() >= 192 else 255.0
    mixed = np.empty(colour.shape)
    for row, column in np.ndindex(opacity.shape):
        share = opacity[row, column] / 255
        mixed[row, column] = share * colour[row, column] + (1 - share) * ground
    return mixed


@pytest.mark.parametrize(("low", "high", "ground"), [(0, 120, 255), (0, 256, 255), (200, 256, 0)])
def test_a_drawing_on_transparency_is_shown_where_it_is_seen(tmp_path: Path, low: int, high: int, ground: int) -> None:
    colour = RNG.integers(low, high, (12, 20, 3), dtype=np.uint8)
    opacity = ALPHA.copy()
    opacity[:4] = 0
    Image.fromarray(np.dstack([colour, opacity])).save(tmp_path / "x.png")
    Image.fromarray(np.dstack([colour, opacity])).save(tmp_path / "x.webp", lossless=True, exact=True)
    for name in ("x.png", "x.webp"):
        shown = decoded(tmp_path / name)
        assert np.abs(shown - on_ground(colour, opacity)).max() <= 1
        assert (shown[:4] == ground).all()
    grey = colour[..., 0]
    Image.fromarray(np.dstack([grey, opacity]), "LA").save(tmp_path / "grey.png")
    assert np.abs(decoded(tmp_path / "grey.png") - on_ground(threefold(grey), opacity)).max() <= 1


def test_opaque_and_wholly_transparent_pictures_keep_the_colours_that_are_stored(tmp_path: Path) -> None:
    for opacity in (0, 255):
        layer = np.full((12, 20), opacity, np.uint8)
        Image.fromarray(np.dstack([COLOUR, layer])).save(tmp_path / "x.png")
        np.testing.assert_array_equal(decoded(tmp_path / "x.png"), COLOUR)
        assert measure(tmp_path / "x.png").conversion == Conversion.PLAIN
        Image.fromarray(np.dstack([GREY, layer]), "LA").save(tmp_path / "grey.png")
        np.testing.assert_array_equal(decoded(tmp_path / "grey.png"), threefold(GREY))


@pytest.mark.filterwarnings("error")
def test_a_palette_with_transparency_is_shown_on_a_ground(tmp_path: Path) -> None:
    colours = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
    picture = Image.fromarray(GREY, "L")
    picture.putpalette(colours.tobytes())
    picture.save(tmp_path / "x.png", transparency=bytes(range(256)))
    assert np.abs(decoded(tmp_path / "x.png") - on_ground(colours[GREY], GREY)).max() <= 1
    picture.save(tmp_path / "opaque.png", transparency=bytes([255] * 256))
    np.testing.assert_array_equal(decoded(tmp_path / "opaque.png"), colours[GREY])
    picture.save(tmp_path / "one.gif", transparency=int(GREY[0, 0]))
    assert (decoded(tmp_path / "one.gif")[GREY[0, 0] == GREY] == 255).all()


@pytest.mark.parametrize(("mode", "key"), [("RGB", (0, 0, 0)), ("L", 0)])
def test_a_colour_that_stands_for_transparent_is_replaced(tmp_path: Path, mode: str, key: object) -> None:
    picture = Image.new(mode, (8, 8), 0)
    picture.paste((90, 90, 90) if mode == "RGB" else 90, (0, 0, 4, 8))
    picture.save(tmp_path / "x.png", transparency=key)
    expected = np.full((8, 8, 3), 255)
    expected[:, :4] = 90
    np.testing.assert_array_equal(decoded(tmp_path / "x.png"), expected)


@pytest.mark.parametrize(("mode", "stored"), [("RGBa", (60, 30, 0, 128)), ("La", (60, 128))])
def test_colours_that_were_multiplied_by_their_opacity_are_divided_again(mode: str, stored: tuple[int, ...]) -> None:
    # What PIL reads from a TIFF whose extra sample is associated alpha.
    shown = np.asarray(upright(Image.new(mode, (8, 8), stored)))
    colour = np.array(stored[:-1]) * 255 / 128
    assert np.abs(shown - (colour * 128 + 255 * 127) / 255).max() <= 1.5


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("top", "bits"), [(65536, 16), (4097, 16), (4096, 12), (257, 12), (256, 8), (40, 8)])
def test_grey_of_sixteen_bits_is_scaled_by_what_the_file_holds(
    tmp_path: Path, suffix: str, top: int, bits: int
) -> None:
    deep = RNG.integers(0, top, (12, 20)).astype(np.uint16)
    deep[3, 3] = top - 1
    Image.fromarray(deep).save(tmp_path / f"x.{suffix}")
    expected = np.floor(deep / (2**bits - 1) * 255 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(decoded(tmp_path / f"x.{suffix}"), threefold(expected))
    assert measure(tmp_path / f"x.{suffix}").conversion == bits


def test_a_deep_picture_that_is_black_says_nothing_of_its_depth(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "x.png")
    assert measure(tmp_path / "x.png") == (9, 9, Conversion.PLAIN, True, True)


def look_of_pixels(pixels: np.ndarray) -> tuple[bool, bool]:
    """Whether each channel lies in 8 levels, and below 32, but for one value in a thousand."""
    most = pixels[..., 0].size - pixels[..., 0].size // 1000
    channels = [pixels[..., channel].ravel() for channel in range(3)]
    narrow = [max(((c >= low) & (c < low + 8)).sum() for low in range(256)) >= most for c in channels]
    return all(narrow), all((c < 32).sum() >= most for c in channels)


@pytest.mark.slow
@pytest.mark.parametrize("low", [0, 20, 24, 25, 100, 248])
@pytest.mark.parametrize("width", [1, 8, 9, 40])
@pytest.mark.parametrize("outliers", [0, 4, 5])
def test_nearly_constant_and_nearly_black_pictures_are_told(
    tmp_path: Path, low: int, width: int, outliers: int
) -> None:
    rng = np.random.default_rng(low)
    pixels = rng.integers(low, min(low + width, 256), (50, 80, 3), dtype=np.uint8)
    pixels[0, 0], pixels[0, 1] = low, min(low + width, 256) - 1
    pixels[1, :outliers, 1] = 255 - low // 2
    pixels[2:, :, 2] = np.minimum(pixels[2:, :, 2], 200)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    look = measure(tmp_path / "x.png")
    assert (look.uniform, look.dark) == look_of_pixels(pixels)


def test_a_thin_line_is_no_constant_picture(tmp_path: Path) -> None:
    picture = Image.new("L", (200, 200), 255)
    picture.paste(0, (100, 0, 101, 200))
    picture.save(tmp_path / "x.png")
    assert not measure(tmp_path / "x.png").uniform


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
    "float": (lambda path: Image.new("F", (9, 9)).save(path, "TIFF"), "save it with 8 or 16 bits"),
    "signed": (lambda path: Image.new("I", (9, 9)).save(path, "TIFF"), "save it with 8 or 16 bits"),
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
    assert measure(path)[:2] == (130, 90)
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
