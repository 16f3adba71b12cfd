"""Image files as upright RGB pictures, how each was read, and what is wrong with those that cannot be decoded."""

from __future__ import annotations

import stat
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""What is decoded at all: PIL knows formats beside these that start other programs."""

DECODER = 3
"""Raised with every change of what `decode` gives for some file, so that remembered results are not used again."""

BROKEN_FILE = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, struct.error, zlib.error
)  # fmt: skip
"""What PIL's decoders raise for broken files, each format in its own way."""

LIGHT = 192
"""A drawing on transparency is shown on black if its mean luminance, of 0 to 255, reaches this, and else on white."""

NARROW, DARK, OUTLIERS = 8, 32, 1000
"""A picture is nearly constant if each of its channels lies within NARROW of 256 levels, and nearly black if each lies
below DARK, whatever one pixel in OUTLIERS is."""

_DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_COARSEST = 1


class UnusableImageError(Exception):
    """What is wrong with one image file."""


class TooManyPixelsError(UnusableImageError):
    """An image is larger than its reader allows."""


class Conversion(IntEnum):
    """What had to be decided to make 8-bit RGB of a file."""

    PLAIN = 0
    ON_WHITE = 1
    ON_BLACK = 2
    EIGHT_BITS = 8
    TWELVE_BITS = 12
    SIXTEEN_BITS = 16


class Look(NamedTuple):
    """What there is to tell of a picture: its size in pixels as stored, how it was read, and what is wrong with it.

    uniform, dark: nearly constant and nearly black (see NARROW), of a JPEG judged by a coarse copy.
    """

    width: int
    height: int
    conversion: Conversion
    uniform: bool
    dark: bool


_DEPTHS = (Conversion.EIGHT_BITS, Conversion.TWELVE_BITS, Conversion.SIXTEEN_BITS)


def decode(file: Path | IO[bytes], at_least: int | None = None, most_pixels: int | None = None) -> Image.Image:
    """The picture in an image file, decoded to the end, as `upright` gives it; the first one of an animation.

    at_least: the side in pixels to which the caller shrinks it. Of a JPEG more than twice as large on both sides only
    1/2, 1/4 or 1/8 is decoded, as much as leaves twice this side; the bytes differ a little from those of the whole.
    most_pixels: a limit below PIL's own against decompression bombs.
    Raises UnusableImageError if it is not a regular file, is in none of FORMATS, does not decode, or holds numbers of
    which nobody can tell which is white: signed ones, and those of 32 bits; TooManyPixelsError, before anything is
    decoded, for an image above the limit.
    """
    with _opened(file, most_pixels) as picture:
        _shrink_jpeg(picture, 2 * at_least if at_least else None)
        return upright(picture)


def measure(file: Path | IO[bytes]) -> Look:
    """The look of an image file, which is decoded to the end, though coarsely where that is faster.

    Raises UnusableImageError as `decode` does.
    """
    with _opened(file) as picture:
        width, height = picture.size
        _shrink_jpeg(picture, _COARSEST)
        rgb, conversion = _read(picture)
    return Look(width, height, conversion, *_uniform_and_dark(rgb))


def upright(picture: Image.Image) -> Image.Image:
    """The picture turned as its EXIF says, in RGB.

    16-bit grey is rounded to 8 bits by what the file itself holds: a file without a value above 255 counts as 8 bits,
    one without a value above 4,095 as 12 bits, any other as 16 bits.
    A picture with transparent parts is shown on white, or on black if its mean luminance, weighted by opacity, is at
    least LIGHT. Where all of it is transparent the colours stored beneath are taken as they are.
    """
    return _read(picture)[0]


def _read(picture: Image.Image) -> tuple[Image.Image, Conversion]:
    white_is_zero = getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in _DEEP_GREY:
        grey, conversion = _eight_bits(np.asarray(picture), white_is_zero)
        return Image.fromarray(grey).convert("RGB"), conversion
    if picture.has_transparency_data:
        return _opaque(picture)
    return picture if picture.mode == "RGB" else picture.convert("RGB"), Conversion.PLAIN


@contextmanager
def _opened(file: Path | IO[bytes], most_pixels: int | None = None) -> Iterator[Image.Image]:
    limit = min(each for each in (most_pixels, Image.MAX_IMAGE_PIXELS, sys.maxsize) if each is not None)
    try:
        # Opening a pipe would wait for a writer for ever.
        if isinstance(file, Path) and not stat.S_ISREG(file.stat().st_mode):
            raise UnusableImageError("is not a regular file")
        with Image.open(file, formats=FORMATS) as picture:
            if picture.width * picture.height > limit:
                raise TooManyPixelsError(f"has {picture.width} x {picture.height} pixels, too many to be safe")
            if picture.mode in ("I", "F"):
                found = "holds signed or 32-bit numbers, of which nobody can tell which is white"
                raise UnusableImageError(f"{found}: save it with 8 or 16 bits")
            yield picture
    except Image.UnidentifiedImageError as error:
        raise UnusableImageError(f"is none of {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError("has too many pixels to be safe") from error
    except BROKEN_FILE as error:
        raise UnusableImageError(f"does not decode: {error}") from error


def _shrink_jpeg(picture: Image.Image, side: int | None) -> None:
    if side is not None and isinstance(picture, JpegImagePlugin.JpegImageFile):
        picture.draft(None, (side, side))


def _eight_bits(stored: np.ndarray, white_is_zero: bool) -> tuple[np.ndarray, Conversion]:
    """16-bit grey as the nearest of 0 to 255; PIL leaves it to us to invert a TIFF that counts from white."""
    highest = int(stored.max(initial=0))
    bits = next(
        bits for bits in (Conversion.EIGHT_BITS, Conversion.TWELVE_BITS, Conversion.SIXTEEN_BITS) if highest < 2**bits
    )
    top = 2**bits - 1
    grey = (stored.astype(np.uint32) * 510 + top) // (2 * top)
    # All zeros tell nothing of how the others were stored.
    return (255 - grey if white_is_zero else grey).astype(np.uint8), bits if highest else Conversion.PLAIN


def _opaque(picture: Image.Image) -> tuple[Image.Image, Conversion]:
    """A picture that may have transparent parts, on a background against which it is seen."""
    # PIL has no way from colours multiplied by their opacity to RGB but this one.
    if picture.mode in ("RGBa", "La"):
        picture = picture.convert(f"{picture.mode[:-1]}A")
    layer = picture.convert("RGBA")
    opacity = layer.getchannel("A")
    least, most = opacity.getextrema()
    if least == 255 or most == 0:
        return layer.convert("RGB"), Conversion.PLAIN
    weights, luminance = np.asarray(opacity), np.asarray(layer.convert("L"))
    visible = np.multiply(weights, luminance, dtype=np.uint16).sum(dtype=np.int64)
    light = bool(visible >= LIGHT * weights.sum(dtype=np.int64))
    ground = Image.new("RGBA", layer.size, (0, 0, 0, 255) if light else (255, 255, 255, 255))
    return Image.alpha_composite(ground, layer).convert("RGB"), Conversion.ON_BLACK if light else Conversion.ON_WHITE


def _uniform_and_dark(picture: Image.Image) -> tuple[bool, bool]:
    """Whether an RGB picture is nearly constant, and whether it is nearly black, as Look has them."""
    counts, pixels = picture.histogram(), picture.width * picture.height
    inside = pixels - pixels // OUTLIERS
    green = counts[256:512]
    # Of a photograph this look at one channel is enough, and every file is looked at.
    if NARROW * max(green) < inside and sum(green[:DARK]) < inside:
        return False, False
    bands = (counts[:256], green, counts[512:])
    return all(_is_narrow(band, inside) for band in bands), all(sum(band[:DARK]) >= inside for band in bands)


def _is_narrow(counts: list[int], inside: int) -> bool:
    """Whether NARROW neighbouring levels hold so many pixels."""
    return any(sum(counts[start : start + NARROW]) >= inside for start in range(256 - NARROW + 1))
