"""A folder of images with one folder per class: PATH/CLASS/image, or PATH/PART/CLASS/image with train, val, test."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from bmix.data.manifest import COLUMNS, SPLIT_PATTERN, Manifest, label_pairs, quoted
from bmix.sources.split_map import refuse_unknown_parts
from bmix.sources.stratify import stratified_splits
from bmix.support.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
LEFT_BY_SYSTEMS = {"thumbs.db", "desktop.ini", "__macosx"}
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class _File:
    """One image file: the part it is in ('' without parts), its class ('' in unlabelled), and its name below them."""

    part: str
    label: str
    name: str
    path: str
    is_link: bool
    identity: tuple[int, int]


@dataclass
class _Image:
    """One image with the files, of one content, that give it its classes."""

    first: _File
    labels: set[str] = field(default_factory=set)


def read_folder(path: Path, root: Path, split_of: dict[str, str] | None = None, seed: int = 0) -> Manifest:
    """Read a folder per class into a manifest without digests; its notes tell what was decided here.

    PATH/PART/CLASS is read where every folder in PATH is a split (train, val, test, test-NAME, unlabelled) or where
    split_of (part -> split) is given; parts that it does not name are left out. Else PATH/CLASS, with splits drawn by
    `seed`. A folder `unlabelled` beside either holds images without labels. Images are found at any depth below a class
    folder; the id is the path below it, after PART/ where there are parts.
    An image is in several classes by links to one file, or by files of one name and equal bytes in several class
    folders. Files that are no image are left out and counted. root: the folder that the manifest's paths start from.
    Raises InputError for a path that is no folder or outside root, an image in no class folder, one name with different
    bytes in two classes, a link to a folder, a mixture of splits and other folders.
    """
    split_of = split_of or {}
    if not path.is_dir():
        raise InputError("data.path", f"{path} is not a folder", "a folder with a folder per class", "correct it")
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError("data.root", f"{root} does not hold {path}", "the folder that data.path names", "correct it")
    skipped: Counter[str] = Counter()
    notes: dict[str, str] = {}
    folders = _first_level(path, skipped)
    has_parts = _has_parts(path, folders, split_of)
    if has_parts:
        parts = [name for name in folders if not split_of or name in split_of]
        if left := [name for name in folders if name not in parts]:
            notes["left out"] = f"the folders {quoted(left)}, which data.splits does not name"
    else:
        parts = [UNLABELLED] if UNLABELLED in folders else []
    files: list[_File] = []
    classes: set[str] = set()
    for part in parts:
        if split_of.get(part, part) == UNLABELLED:
            files += _found(path / part, part, "", skipped)
            continue
        for label in _first_level(path / part, skipped):
            classes.add(label)
            files += _found(path / part / label, part, label, skipped)
    if not has_parts:
        for label in (name for name in folders if name != UNLABELLED):
            classes.add(label)
            files += _found(path / label, "", label, skipped)
    images = _joined(files)
    prefix = path.resolve().relative_to(root.resolve())
    rows = [
        [
            f"{image.first.part}/{image.first.name}" if image.first.part else image.first.name,
            (prefix / Path(image.first.path).relative_to(path)).as_posix(),
            split_of.get(image.first.part, image.first.part),
            sorted(image.labels),
            [],
            "",
        ]
        for image in images
    ]
    origins = pd.Index([image.first.path for image in images], name="origin", dtype="str")
    frame = pd.DataFrame(rows, columns=COLUMNS, index=origins)
    names = sorted(classes)
    notes["labels"] = "the names of the folders" + (" below the parts" if has_parts else "")
    if several := sum(len(image.labels) > 1 for image in images):
        notes["labels"] += f"; {several} images in several of them"
    if skipped:
        counts = ", ".join(f"{count} {what}" for what, count in sorted(skipped.items()))
        notes["skipped"] = f"files that are no images: {counts}"
    if not has_parts and len(frame):
        _draw_splits(frame, names, seed)
        notes["splits"] = f"drawn for data.seed {seed}, stratified by the labels"
    return Manifest(frame, names, notes)


def _first_level(folder: Path, skipped: Counter[str]) -> list[str]:
    """The names of the folders in a folder, sorted; InputError for an image beside them."""
    names = []
    for entry in _entries(folder, skipped):
        if entry.is_dir(follow_symlinks=False):
            names.append(entry.name)
        elif entry.name.lower().endswith(SUFFIXES):
            raise InputError(
                entry.path,
                "an image that is in no class folder",
                f"{folder}/CLASS/{entry.name}",
                f"move it into the folder of its class, or into {UNLABELLED}/",
            )
        else:
            skipped[_kind(entry.name)] += 1
    return names


def _entries(folder: Path, skipped: Counter[str]) -> list[os.DirEntry[str]]:
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
        if entry.is_symlink() and entry.is_dir():
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


def _has_parts(path: Path, folders: list[str], split_of: dict[str, str]) -> bool:
    if split_of:
        refuse_unknown_parts(split_of, folders, str(path))
        return True
    labelled = [name for name in folders if name != UNLABELLED]
    parts = [name for name in labelled if SPLIT_PATTERN.fullmatch(name)]
    others = [name for name in labelled if name not in parts]
    # VOC has a class named train; beside val or test it is a split.
    if others and "train" in parts and len(parts) > 1:
        raise InputError(
            str(path),
            f"the splits {quoted(parts)} beside {quoted(others)}",
            "splits only (train, val, test, test-NAME, unlabelled), or classes only",
            "name the folders to read: data.splits: train=train test=test",
        )
    return bool(parts) and not others


def _found(folder: Path, part: str, label: str, skipped: Counter[str]) -> list[_File]:
    """The image files at any depth below a folder, by name."""
    files, waiting = [], [folder]
    while waiting:
        current = waiting.pop()
        device = current.stat().st_dev
        for entry in _entries(current, skipped):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif entry.name.lower().endswith(SUFFIXES):
                name = Path(entry.path).relative_to(folder).as_posix()
                is_link = entry.is_symlink()
                files.append(_File(part, label, name, entry.path, is_link, _identity(entry, device)))
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
        raise InputError(entry.path, "a link to nothing", "an image, or a link to one", "mend or remove it") from error
    return status.st_dev, status.st_ino


def _joined(files: list[_File]) -> list[_Image]:
    """One image per file content and part, sorted by part and name; links after what they point to."""
    by_file: dict[tuple[str, tuple[int, int]], _Image] = {}
    by_name: dict[tuple[str, str], _Image] = {}
    for file in sorted(files, key=lambda file: (file.is_link, file.part, file.label, file.name)):
        image = by_file.get((file.part, file.identity))
        if image is None and (image := by_name.get((file.part, file.name))) is not None:
            _refuse_other_bytes(image.first, file)
        if image is None:
            image = by_name[file.part, file.name] = _Image(file)
        by_file[file.part, file.identity] = image
        if file.label:
            image.labels.add(file.label)
    return sorted(by_name.values(), key=lambda image: (image.first.part, image.first.name))


def _refuse_other_bytes(first: _File, second: _File) -> None:
    if Path(first.path).stat().st_size != Path(second.path).stat().st_size or _digest(first) != _digest(second):
        raise InputError(
            second.path,
            f"another image than {first.path}, under the same name",
            "one name for one image: in several class folders it shows several classes",
            "rename one of the two files",
        )


def _digest(file: _File) -> bytes:
    try:
        with Path(file.path).open("rb") as content:
            return hashlib.file_digest(content, "blake2b").digest()
    except OSError as error:
        raise InputError(file.path, f"not readable: {error}", "a readable image", "check its permissions") from error


def _draw_splits(frame: pd.DataFrame, classes: list[str], seed: int) -> None:
    labelled_N = (frame["split"] == "").to_numpy()
    if labelled_N.any():
        splits = frame["split"].to_numpy(dtype=object, copy=True)
        splits[labelled_N] = stratified_splits(
            *label_pairs(frame["labels"][labelled_N], classes), (int(labelled_N.sum()), len(classes)), seed
        )
        frame["split"] = np.asarray(splits, dtype=object)
