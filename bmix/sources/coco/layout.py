"""Which JSON files a folder of COCO annotations has, and which split each one makes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bmix.data.manifest import quoted
from bmix.sources.split_map import refuse_unknown_parts
from bmix.sources.split_names import split_named, splits_by_name
from bmix.support.errors import InputError

INSTANCES, IMAGE_INFO = "instances_", "image_info_"
IN_FOLDER = "_annotations.coco.json"
"""What Roboflow calls the annotations of the images in a folder, which it puts beside them."""
UNLABELLED = "unlabelled"

_OTHER_TASKS = ("captions_", "person_keypoints_", "panoptic_", "stuff_")
_YEAR = re.compile(r"(?:19|20)\d\d")


@dataclass(frozen=True)
class PartFiles:
    """The JSON files of one part.

    instances: images with categories and annotations. image_info: images alone. None if there is no such file.
    """

    instances: Path | None
    image_info: Path | None = None

    def file_for(self, part: str, split: str) -> Path:
        """The file to read for a split; InputError if labels are wanted and only images are there."""
        if split == UNLABELLED and self.image_info is not None:
            return self.image_info
        if self.instances is not None:
            return self.instances
        name = self.image_info.name if self.image_info else ""
        raise InputError(
            "data.splits",
            f'part "{part}" for split {split} has no {INSTANCES}{part}.json, only {name}',
            "a part with labels",
            f"write {UNLABELLED}={part}, or leave it out",
        )


def find_parts(path: Path) -> dict[str, PartFiles]:
    """Part -> its files, sorted by part.

    `instances_PART.json` and `image_info_PART.json`; without them a folder PART with `_annotations.coco.json`, or a
    folder that is named like a split and holds one JSON file; without these every JSON file, PART.json. `path` may be
    one file, or hold a folder `annotations`. Raises InputError if there is none.
    """
    expected = f"COCO's folder annotations, with e.g. {INSTANCES}train2014.json, or a JSON file"
    if path.is_file():
        return {path.stem.removeprefix(INSTANCES): PartFiles(path)}
    if not path.is_dir():
        raise InputError("data.path", f"{path} is not a file or folder", expected, "correct data.path")
    below = [path / "annotations"] if (path / "annotations").is_dir() else []
    # Other JSON files than COCO's may lie beside its folder.
    for find, folders in ((_official, [path, *below]), (_in_folders, [path]), (_every_file, [*below, path])):
        for folder in folders:
            if parts := find(folder):
                return dict(sorted(parts.items()))
    found = f"{path} holds no {INSTANCES}PART.json"
    raise InputError("data.path", found, expected, "correct data.path, or unpack the annotations there")


def choose_parts(path: Path, parts: dict[str, PartFiles], split_of: dict[str, str]) -> dict[str, str]:
    """Part -> split, in the order they are read; `split_of`, of data.splits, is empty for auto.

    Auto takes the parts whose names say a split, of one year alone; test images without labels count for nothing. A
    single labelled part whose name says none is train. Raises InputError for a part that is not there, parts of several
    years, and parts of which none is train.
    """
    if split_of:
        refuse_unknown_parts(split_of, parts, str(path))
        return split_of
    named = [
        part
        for part, files in parts.items()
        if (split := split_named(part)) and (files.instances is not None or split == UNLABELLED)
    ]
    labelled = [part for part, files in parts.items() if files.instances is not None]
    if len({year for part in named for year in _YEAR.findall(part)}) > 1:
        raise _undecided(path, parts, "parts of several years: " + quoted(named))
    if len(labelled) == 1 and not split_named(labelled[0]):
        return {labelled[0]: "train"} | dict.fromkeys(named, UNLABELLED)
    chosen = splits_by_name(named, str(path), "parts")
    if "train" not in chosen.values():
        raise _undecided(path, parts, "no part train, or train with a year, but " + quoted(parts))
    return chosen


def _official(folder: Path) -> dict[str, PartFiles]:
    instances, image_info = (
        {file.stem.removeprefix(prefix): file for file in folder.glob(f"{prefix}?*.json")}
        for prefix in (INSTANCES, IMAGE_INFO)
    )
    return {part: PartFiles(instances.get(part), image_info.get(part)) for part in instances | image_info}


def _in_folders(path: Path) -> dict[str, PartFiles]:
    """Files beside the images of each part."""
    if (path / IN_FOLDER).is_file():
        return {path.resolve().name: PartFiles(path / IN_FOLDER)}
    parts = {}
    for folder in (entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        own = folder / IN_FOLDER
        files = [own] if own.is_file() else sorted(folder.glob("*.json")) if split_named(folder.name) else []
        if len(files) == 1:
            parts[folder.name] = PartFiles(files[0])
    return parts


def _every_file(folder: Path) -> dict[str, PartFiles]:
    """Any other JSON files, those of other tasks of COCO left out where there are more."""
    files = [file for file in sorted(folder.glob("*.json")) if not file.name.startswith(".")]
    labelled = [file for file in files if not file.name.startswith(_OTHER_TASKS)]
    return {file.stem: PartFiles(file) for file in labelled or files}


def _undecided(path: Path, parts: dict[str, PartFiles], found: str) -> InputError:
    train = next((part for part in parts if split_named(part) == "train"), next(iter(parts)))
    test = train.replace("train", "val")
    example = f"train={train}" + (f" test={test}" if test in parts and test != train else "")
    return InputError(
        "data.splits",
        f"auto, and {path} has {found}",
        "with auto the parts train, val, test, unlabeled of one year, or a single part",
        f"say which part makes which split, e.g. data.splits: {example}",
    )
