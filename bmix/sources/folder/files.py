"""The image files below a folder, and which of them are one image."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bmix.sources.image_names import is_image_name
from bmix.support.errors import InputError

LEFT_BY_SYSTEMS = {"thumbs.db", "desktop.ini", "__macosx"}
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class ImageFile:
    """One image file: the part it is in ('' without parts), its class ('' in unlabelled), and its name below them."""

    part: str
    label: str
    name: str
    path: str
    is_link: bool
    identity: tuple[int, int]


@dataclass
class ClassedImage:
    """One image with the files, of one content, that give it its classes."""

    first: ImageFile
    labels: set[str] = field(default_factory=set)


def folders_in(folder: Path, skipped: Counter[str]) -> list[str]:
    """The names of the folders in a folder, sorted; InputError for an image beside them."""
    names = []
    for entry in entries_of(folder, skipped):
        if entry.is_dir(follow_symlinks=False):
            names.append(entry.name)
        elif is_image_name(entry.name):
            raise InputError(
                entry.path,
                "an image that is in no class folder",
                f"{folder}/CLASS/{entry.name}",
                f"move it into the folder of its class, or into {UNLABELLED}/; labels in a file: data.source table",
            )
        else:
            skipped[_kind(entry.name)] += 1
    return names


def entries_of(folder: Path, skipped: Counter[str]) -> list[os.DirEntry[str]]:
    """What a folder holds, sorted by name, without what systems leave behind."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(str(folder), f"not readable: {error}", "a readable folder", "check its permissions") from error
    kept = []
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in LEFT_BY_SYSTEMS:
            skipped["hidden"] += 1
            continue
        if not _is_text(entry.name):
            shown = entry.name.encode("utf-8", "replace").decode()
            raise InputError(str(folder), f'the name "{shown}" is not UTF-8', "names in UTF-8", "rename it")
        # A link that leads to itself is no folder to Path, and an error to the entry.
        if entry.is_symlink() and Path(entry.path).is_dir():
            raise InputError(entry.path, "a link to a folder", "folders, images, links to images", "link each image")
        kept.append(entry)
    return kept


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(name: str) -> str:
    return Path(name).suffix.lower() or "without a suffix"


def files_below(folder: Path, part: str, label: str, skipped: Counter[str]) -> list[ImageFile]:
    """The image files at any depth below a folder, by name."""
    files, waiting = [], [folder]
    while waiting:
        current = waiting.pop()
        device = current.stat().st_dev
        for entry in entries_of(current, skipped):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif is_image_name(entry.name):
                name = Path(entry.path).relative_to(folder).as_posix()
                is_link = entry.is_symlink()
                files.append(ImageFile(part, label, name, entry.path, is_link, _identity(entry, device)))
            else:
                skipped[_kind(entry.name)] += 1
    return sorted(files, key=lambda file: file.name)


def _identity(entry: os.DirEntry[str], device: int) -> tuple[int, int]:
    """What is equal for all links to one file: device and number."""
    if not entry.is_symlink():
        return device, entry.inode()
    try:
        status = entry.stat()
    except OSError as error:
        raise InputError(
            entry.path, "a link to nothing", "an image, or a link to one", "correct or remove it"
        ) from error
    return status.st_dev, status.st_ino


def joined(files: list[ImageFile]) -> list[ClassedImage]:
    """One image per file content and part, sorted by part and name; links after what they point to."""
    by_file: dict[tuple[str, tuple[int, int]], ClassedImage] = {}
    by_name: dict[tuple[str, str], ClassedImage] = {}
    for file in sorted(files, key=lambda file: (file.is_link, file.part, file.label, file.name)):
        image = by_file.get((file.part, file.identity))
        if image is None and (image := by_name.get((file.part, file.name))) is not None:
            _refuse_other_bytes(image.first, file)
        if image is None:
            image = by_name[file.part, file.name] = ClassedImage(file)
        by_file[file.part, file.identity] = image
        if file.label:
            image.labels.add(file.label)
    return sorted(by_name.values(), key=lambda image: (image.first.part, image.first.name))


def _refuse_other_bytes(first: ImageFile, second: ImageFile) -> None:
    if Path(first.path).stat().st_size != Path(second.path).stat().st_size or _digest(first) != _digest(second):
        raise InputError(
            second.path,
            f"another image than {first.path}, under the same name",
            "one name for one image: in several class folders it shows several classes",
            "rename one of the two files",
        )


def _digest(file: ImageFile) -> bytes:
    try:
        with Path(file.path).open("rb") as content:
            return hashlib.file_digest(content, "blake2b").digest()
    except OSError as error:
        raise InputError(file.path, f"not readable: {error}", "a readable image", "check its permissions") from error
