"""Which folders are splits and which are classes."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bmix.data.manifest import quoted
from bmix.sources.class_list import ClassList
from bmix.sources.folder.files import UNLABELLED, folders_in
from bmix.sources.image_names import is_image_name
from bmix.sources.label_cells.combinations import joined_at, split_at
from bmix.sources.split_map import refuse_unknown_parts
from bmix.sources.split_names import split_named, splits_by_name
from bmix.support.errors import InputError

_NO_CLASSES = {"images", "labels", "annotations", "masks", "jpegimages", "imagesets"}


@dataclass(frozen=True)
class Layout:
    """The folders that are read.

    base: the folder of the parts, or of the classes where there are no parts. split_of: part -> split; the part '' is
    `base` itself. classes: part -> its class folders, none for images without labels. left_out: what data.splits does
    not name. unlisted: class folders that the list of classes does not name.
    """

    base: Path
    split_of: dict[str, str]
    classes: dict[str, list[str]]
    left_out: list[str]
    unlisted: list[str]


def find_layout(path: Path, split_of: dict[str, str], skipped: Counter[str], listed: ClassList | None = None) -> Layout:
    """The layout of the folders below `path`; entries that are left out are counted in `skipped`.

    split_of: what data.splits says, empty for auto. listed: the classes as the user listed them; other folders are left
    out then, and a class may be named like a split. A folder that holds one folder alone is entered, where that is
    neither a split nor a class with images.
    Raises InputError for a mixture of splits and other folders, two folders for one split, a folder for each split
    within the class folders, folders that no class is called, and a listed class without a folder.
    """
    base, folders = _innermost(path, split_of, skipped)
    names = listed.names if listed else []
    parts = _parts(base, folders, split_of, names)
    left_out = [name for name in folders if name not in parts] if split_of else []
    classes = {part: folders_in(base / part, skipped) if split != UNLABELLED else [] for part, split in parts.items()}
    if not any(split != UNLABELLED for split in parts.values()) and not split_of:
        parts = {**parts, "": "train"}
        classes[""] = [name for name in folders if name not in parts]
    found = sorted({name for own in classes.values() for name in own})
    if listed:
        listed.refuse_missing(found, "a class folder")
        classes = {part: [name for name in own if name in names] for part, own in classes.items()}
    for part, own in classes.items():
        _refuse_no_classes(base / part, own)
        if not listed:
            _refuse_splits_in_names(base / part, own)
            _refuse_combined(base / part, own)
    return Layout(base, parts, classes, left_out, [name for name in found if listed and name not in names])


def _innermost(path: Path, split_of: dict[str, str], skipped: Counter[str]) -> tuple[Path, list[str]]:
    """The folder to read from, and the folders in it: an archive is often unpacked into a folder of its own."""
    while True:
        folders = folders_in(path, skipped)
        if len(folders) != 1 or folders[0] in split_of or split_named(folders[0]):
            return path, folders
        inside = path / folders[0]
        if not _holds_folders_alone(inside):
            return path, folders
        path = inside


def _parts(base: Path, folders: list[str], split_of: dict[str, str], listed: list[str]) -> dict[str, str]:
    """The folders that are splits, or hold unlabelled images, and what they are."""
    if split_of:
        refuse_unknown_parts(split_of, folders, str(base))
        return {name: split_of[name] for name in folders if name in split_of}
    parts = {name: split for name in folders if (split := split_named(name))}
    others = [name for name in folders if name not in parts]
    labelled = [name for name, split in parts.items() if split != UNLABELLED]
    if not others or not labelled:
        return splits_by_name(folders, str(base), "folders")
    # Trains are photographed too: VOC has a class of that name.
    if all(name in listed or (parts[name] == "train" and _holds_images(base / name)) for name in labelled):
        return {name: split for name, split in parts.items() if split == UNLABELLED}
    counted = "splits" if len(labelled) > 1 else "split"
    raise InputError(
        str(base),
        f"the {counted} {quoted(labelled)} beside {quoted(others)}",
        "splits only (train, val, test, test-NAME, unlabelled), or classes only",
        f"name the folders to read, e.g. data.splits: train={labelled[0]}, or list every class in data.classes",
    )


def _refuse_no_classes(folder: Path, names: list[str]) -> None:
    """InputError if the folders in a folder are those of another layout than a folder per class."""
    if names and _NO_CLASSES.issuperset(name.lower() for name in names):
        raise InputError(
            str(folder),
            f"the folders {quoted(names)}, which are no names of classes",
            "a folder per class, which holds the images of that class",
            "labels in files: data.source coco or voc, or table for a table that lists them, as for YOLO's labels",
        )
    for name in names:
        inside = _first_entries(folder / name)
        splits = [entry for entry in inside if split_named(entry.name)]
        if len(splits) > 1 and len(splits) == len(inside) and all(entry.is_dir() for entry in inside):
            raise InputError(
                str(folder / name),
                f"the splits {quoted(sorted(entry.name for entry in splits))} within a class folder",
                f"{folder}/SPLIT/{name}",
                "move the folders of the splits above those of the classes",
            )


def _refuse_splits_in_names(folder: Path, names: list[str]) -> None:
    """InputError for folders such as cat_train and cat_val, which would be two classes."""
    first_of: dict[str, tuple[str, str]] = {}
    for name in names:
        words = re.split(r"[ _.-]+", name)
        for at in (0, -1):
            split = split_named(words[at]) if len(words) > 1 else None
            if split is None:
                continue
            label = "_".join(words[1:] if at == 0 else words[:-1])
            first, first_split = first_of.setdefault(label, (name, split))
            if first_split != split:
                raise InputError(
                    str(folder),
                    f"the folders {quoted([first, name])}, which name a class and a split each",
                    f"{folder}/SPLIT/{label}",
                    "make a folder for each split with the folders of the classes inside, or list every class in "
                    "data.classes",
                )


def _refuse_combined(folder: Path, names: list[str]) -> None:
    """InputError for a folder such as cat_dog beside cat and dog: its images would count as showing neither."""
    known = {name.casefold() for name in names}
    for name in names:
        sign = joined_at(name.casefold(), known)
        parts = split_at(name.casefold(), sign) if sign else []
        if parts and not all(part.isdecimal() for part in parts):
            raise InputError(
                str(folder),
                f"the folder {quoted([name])} beside {quoted(other for other in names if other.casefold() in parts)}",
                "a folder for each class; an image of two classes is in the folders of both, under one name",
                f"put the images of {quoted([name])} into each of these folders, or list every class in data.classes",
            )


def _holds_folders_alone(folder: Path) -> bool:
    """Whether a folder holds folders, and no image beside them."""
    entries = _first_entries(folder)
    return any(entry.is_dir(follow_symlinks=False) for entry in entries) and not _shows(entries)


def _holds_images(folder: Path) -> bool:
    return _shows(_first_entries(folder))


def _shows(entries: list[os.DirEntry[str]]) -> bool:
    return any(is_image_name(entry.name) and not entry.is_dir(follow_symlinks=False) for entry in entries)


def _first_entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds except hidden files, as far as its first image: class folders hold millions."""
    entries = []
    try:
        with os.scandir(folder) as scan:
            for entry in scan:
                if not entry.name.startswith("."):
                    entries.append(entry)
                    if is_image_name(entry.name):
                        break
    except OSError as error:
        raise InputError(str(folder), f"not readable: {error}", "a readable folder", "check its permissions") from error
    return entries
