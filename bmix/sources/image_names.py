"""Which file names are those of images."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Lower-case; cameras and Windows write them in capitals."""

UNREAD = (".heic", ".heif", ".avif", ".jp2", ".jxl", ".svg", ".psd", ".dcm", ".nii", ".npy", ".cr2", ".nef", ".dng")
"""Of pictures in formats that are not decoded."""


def is_image_name(name: str) -> bool:
    """Whether a file name ends as those of the formats that are decoded, in small letters or capitals."""
    return name.lower().endswith(SUFFIXES)


def named_alike(path: Path) -> str | None:
    """The name of an image beside a missing one that differs in case or suffix alone; None if there is none."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if is_image_name(entry.name))
    except OSError:
        return None
    alike = [name for name in names if Path(name).stem.casefold() == path.stem.casefold()]
    return next((name for name in alike if name.casefold() == path.name.casefold()), alike[0] if alike else None)
