"""Which file names are those of images."""

from __future__ import annotations

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""In small letters; cameras and Windows write them in capitals."""


def is_image_name(name: str) -> bool:
    """Whether a file name ends as those of the formats that are decoded, in small letters or capitals."""
    return name.lower().endswith(SUFFIXES)
