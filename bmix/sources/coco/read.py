"""MS-COCO in the layout of its downloads: annotations/instances_PART.json, and the images in a folder PART."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from bmix.data.manifest import COLUMNS, Manifest, quoted
from bmix.sources.coco.file import CocoFile, collection_paused
from bmix.sources.split_map import refuse_unknown_parts
from bmix.support.errors import InputError

INSTANCES, IMAGE_INFO = "instances_", "image_info_"
UNLABELLED = "unlabelled"
_AUTO_PART = re.compile(r"(?:(?P<split>train|val|test)|unlabell?ed)(?P<year>\d*)")


def read_coco(path: Path, root: Path, split_of: dict[str, str], crowd: bool) -> Manifest:
    """Read COCO's instance annotations into a manifest without digests.

    path: the folder `annotations` with `instances_PART.json` for every labelled part; a part that makes split
    `unlabelled` may have `image_info_PART.json` instead. root: the folder that holds the image folders PART.
    split_of: the split of each part; empty: the parts train, val, test and unlabeled of the one year there.
    An image's labels are the categories with at least one annotation; without `crowd`, of those with `iscrowd` 0. An
    image without annotation has no label. The classes are the category names in ascending category id. An image's id
    is COCO's, as text. Rows stand in the order of the parts and of the images in their files.
    Raises InputError for a folder in another layout, a part that is not there, a file that is not COCO's JSON,
    categories that stand there twice or differ between parts, an annotation of an unknown image or category.
    """
    available = part_names(path)
    refuse_unknown_parts(split_of, available, str(path))
    parts = split_of or _auto_parts(path, available)
    first: Path | None = None
    names: dict[int, str] = {}
    frames = []
    for part, split in parts.items():
        source = _file_of(path, part, split)
        with collection_paused():
            frame, own_names = _read_part(source, root, part, split, crowd)
        frames.append(frame)
        if split != UNLABELLED:
            first, names = first or source, names or own_names
            _refuse_other_categories(source, own_names, first, names)
    notes = {
        "splits": ", ".join(f"{split} from {part}" for part, split in parts.items()),
        "labels": "categories with an annotation, crowds " + ("included" if crowd else "left out"),
    }
    return Manifest(pd.concat(frames), list(names.values()), notes)


def part_names(path: Path) -> list[str]:
    """The parts that the folder `annotations` has a file for, sorted; InputError where it is none or has none."""
    expected = f"COCO's folder annotations, with e.g. {INSTANCES}train2014.json"
    if not path.is_dir():
        raise InputError("data.path", f"{path} is not a folder", expected, "correct data.path")
    prefixes = (INSTANCES, IMAGE_INFO)
    names = {file.stem.removeprefix(prefix) for prefix in prefixes for file in path.glob(f"{prefix}?*.json")}
    if not names:
        below = path / "annotations"
        remedy = f"set data.path to {below}" if below.is_dir() else "correct data.path, or unpack the annotations there"
        raise InputError("data.path", f"{path} holds no {INSTANCES}PART.json", expected, remedy)
    return sorted(names)


def _auto_parts(path: Path, available: list[str]) -> dict[str, str]:
    """The parts of the only year there, each with its split; test images without labels count for nothing."""
    split_of: dict[str, str] = {}
    years = set()
    for part in available:
        match = _AUTO_PART.fullmatch(part)
        if match and (not match["split"] or (path / f"{INSTANCES}{part}.json").is_file()):
            split_of[part] = match["split"] or UNLABELLED
            years.add(match["year"])
    if len(years) > 1:
        found = "parts of several years: " + quoted(split_of)
    elif "train" not in split_of.values():
        found = "no part train, or train with a year, but " + quoted(available)
    else:
        order = ("train", "val", "test", UNLABELLED)
        return {part: split for wanted in order for part, split in split_of.items() if split == wanted}
    train = next((part for part in available if part.startswith("train")), available[0])
    test = train.replace("train", "val")
    example = f"train={train}" + (f" test={test}" if test in available and test != train else "")
    raise InputError(
        "data.splits",
        f"auto, and {path} has {found}",
        "with auto the parts train, val, test, unlabeled of one year",
        f"say which part makes which split, e.g. data.splits: {example}",
    )


def _file_of(path: Path, part: str, split: str) -> Path:
    instances, image_info = path / f"{INSTANCES}{part}.json", path / f"{IMAGE_INFO}{part}.json"
    if split == UNLABELLED and image_info.is_file():
        return image_info
    if not instances.is_file():
        raise InputError(
            "data.splits",
            f'part "{part}" for split {split} has no {instances.name}, only {image_info.name}',
            "a part with labels",
            f"write {UNLABELLED}={part}, or leave it out",
        )
    return instances


def _read_part(source: Path, root: Path, part: str, split: str, crowd: bool) -> tuple[pd.DataFrame, dict[int, str]]:
    """The rows of one part, and its categories, none for unlabelled images. The JSON, of gigabytes, is let go of."""
    file = CocoFile.read(source)
    image_ids, file_names = file.images()
    _refuse_missing_folder(root, part, file_names)
    names = file.categories() if split != UNLABELLED else {}
    found = file.categories_of(image_ids, names, crowd) if names else {}
    frame = pd.DataFrame(
        {
            "id": [str(image) for image in image_ids],
            "path": [f"{part}/{name}" for name in file_names],
            "split": split,
            "labels": [[names[number] for number in sorted(found.get(image, ()))] for image in image_ids],
            "ignore": [[] for _ in image_ids],
            "digest": "",
        },
        index=pd.Index(
            [file.where("images", position) for position in range(len(image_ids))], name="origin", dtype=object
        ),
    )
    return frame[COLUMNS], names


def _refuse_other_categories(path: Path, names: dict[int, str], first: Path, expected: dict[int, str]) -> None:
    if names == expected:
        return
    number = min(number for number in {*names, *expected} if names.get(number) != expected.get(number))
    own, other = (f'"{own[number]}"' if number in own else "not there" for own in (names, expected))
    raise InputError(
        f"{path}, categories",
        f"id {number} is {own}; in {first} it is {other}",
        "the same categories in every part",
        "take parts of one release, or make their categories equal",
    )


def _refuse_missing_folder(root: Path, part: str, file_names: list[str]) -> None:
    """InputError where the part's images have no folder; each file is looked for when the manifest is verified."""
    folder = root / part
    if folder.is_dir():
        return
    found, remedy = "", f"correct data.root, unpack the images there, or leave {part} out of data.splits"
    if (root / "images" / part).is_dir():
        found, remedy = f", but {root / 'images' / part} is", f"set data.root to {root / 'images'}"
    elif file_names and _is_file(root / file_names[0]):
        found = f", but {root / file_names[0]} exists"
        remedy = f"set data.root to {root.parent}" if root.name == part else f"move the images into {folder}"
    raise InputError(
        "data.root", f"{folder} is not a folder{found}", f"the images of {part} in a folder of that name", remedy
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # A name that is too long for the file system.
        return False
