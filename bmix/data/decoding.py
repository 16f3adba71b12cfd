"""Image files as upright RGB pictures, and what is wrong with those that cannot be decoded."""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""What is decoded at all: PIL knows formats beside these that start other programs."""

DECODER = 2
"""Raised with every change of what `decode` gives for some file, so that remembered results are not used again."""

BROKEN_FILE = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, struct.error, zlib.error
)  # fmt: skip
"""What PIL's decoders raise for broken files, each format in its own way."""

_DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_COARSEST = 1


class UnusableImageError(Exception):
    """What is wrong with one image file."""


def decode(file: Path | IO[bytes], at_least: int | None = None) -> Image.Image:
    """The picture in an image file, decoded to the end, as `upright` gives it; the first one of an animation.

    at_least: the side in pixels to which the caller shrinks it. Of a JPEG more than twice as large on both sides only
    1/2, 1/4 or 1/8 is decoded, as much as leaves twice this side; the bytes differ a little from those of the whole.
    UnusableImageError for what is no regular file, is in none of FORMATS or does not decode; for more pixels than PIL's
    limit against decompression bombs; and for 32 bits per channel, of which nobody can tell what is white.
    """
    with _opened(file) as picture:
        _shrink_jpeg(picture, 2 * at_least if at_least else None)
        return upright(picture)


def measure(file: Path | IO[bytes]) -> tuple[int, int]:
    """(width, height) as stored in an image file, which is decoded to the end, though coarsely where that is faster.

    UnusableImageError as from `decode`.
    """
    with _opened(file) as picture:
        size = picture.size
        _shrink_jpeg(picture, _COARSEST)
        upright(picture)
    return size


def upright(picture: Image.Image) -> Image.Image:
    """The picture turned as its EXIF says, in RGB.

    Transparency is ignored: the colours are those stored beneath it. 16 bits of grey are rounded to 8.
    """
    white_is_zero = getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in _DEEP_GREY:
        picture = _eight_bits(picture, white_is_zero)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


@contextmanager
def _opened(file: Path | IO[bytes]) -> Iterator[Image.Image]:
    try:
        # Opening a pipe would wait for a writer for ever.
        if isinstance(file, Path) and not stat.S_ISREG(file.stat().st_mode):
            raise UnusableImageError("is not a regular file")
        with Image.open(file, formats=FORMATS) as picture:
            if Image.MAX_IMAGE_PIXELS and picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
                raise UnusableImageError(f"has {picture.width} x {picture.height} pixels, too many to be safe")
            if picture.mode in ("I", "F"):
                raise UnusableImageError("has more than 16 bits per channel")
            yield picture
    except Image.UnidentifiedImageError as error:
        raise UnusableImageError(f"is none of {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise UnusableImageError("has too many pixels to be safe") from error
    except BROKEN_FILE as error:
        raise UnusableImageError(f"does not decode: {error}") from error


def _shrink_jpeg(picture: Image.Image, side: int | None) -> None:
    if side is not None and isinstance(picture, JpegImagePlugin.JpegImageFile):
        picture.draft(None, (side, side))


def _eight_bits(picture: Image.Image, white_is_zero: bool) -> Image.Image:
    """Grey of 0 to 65535 as the nearest of 0 to 255; PIL leaves it to us to invert a TIFF that counts from white."""
    grey = (np.asarray(picture).astype(np.uint32) + 128) // 257
    return Image.fromarray((255 - grey if white_is_zero else grey).astype(np.uint8))
