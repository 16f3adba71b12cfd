"""Image files as upright RGB pictures, and what is wrong with those that cannot be decoded."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import IO

from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""What is decoded at all: PIL knows formats beside these that start other programs."""

BROKEN_FILE = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, struct.error, zlib.error
)  # fmt: skip
"""What PIL's decoders raise for broken files, each format in its own way."""


class UnusableImageError(Exception):
    """What is wrong with one image file."""


def decode(file: Path | IO[bytes]) -> Image.Image:
    """The picture in an image file, decoded to the end, as `upright` gives it.

    UnusableImageError for a file that is in none of FORMATS or does not decode, for one of more pixels than PIL's limit
    against decompression bombs, and for more than 8 bits per channel, which PIL would clip to white.
    """
    try:
        with Image.open(file, formats=FORMATS) as picture:
            if Image.MAX_IMAGE_PIXELS and picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
                raise UnusableImageError(f"has {picture.width} x {picture.height} pixels, too many to be safe")
            if picture.mode.startswith(("I", "F")):
                raise UnusableImageError("has more than 8 bits per channel")
            return upright(picture)
    except Image.UnidentifiedImageError as error:
        raise UnusableImageError(f"is none of {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise UnusableImageError("has too many pixels to be safe") from error
    except BROKEN_FILE as error:
        raise UnusableImageError(f"does not decode: {error}") from error


def upright(picture: Image.Image) -> Image.Image:
    """The picture turned as its EXIF says, in RGB."""
    return ImageOps.exif_transpose(picture).convert("RGB")
