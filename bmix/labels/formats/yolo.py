"""Corrected labels in YOLO's layout: a text file per image, a line per label with the whole image as its box."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import yaml

from bmix.labels.formats.folders import write_note
from bmix.labels.formats.images import LabelledImages
from bmix.support.errors import InputError
from bmix.support.files import replaced_folder

_BOX = "0.5 0.5 1 1"


def write_yolo(images: LabelledImages, output: Path) -> None:
    """A folder with `data.yaml`, a list of image files per split, and `labels/PATH.txt`, PATH being the image's.

    YOLO looks for labels where the last folder `images` of a path is called `labels`; so `images` is a link to the
    folder of the images. InputError for two images whose labels would be one file.
    """
    images.need_corrections("yolo")
    root = images.need_files("yolo")
    frame = images.frame
    names = [PurePosixPath(file).with_suffix(".txt") for file in frame["file"]]
    if len(set(names)) < len(names):
        first = next(name for name in names if names.count(name) > 1)
        raise InputError("--format", f"two images would share labels/{first}", "names of their own", "rename one")
    with replaced_folder(output) as folder:
        (folder / "images").symlink_to(root.resolve(), target_is_directory=True)
        for name, own in zip(names, images.numbers("labels"), strict=True):
            path = folder / "labels" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{column} {_BOX}\n" for column in own), encoding="utf-8")
        splits = frame["split"].unique().tolist()
        for split in splits:
            files = frame["file"][frame["split"] == split]
            (folder / f"{split}.txt").write_text("".join(f"./images/{file}\n" for file in files), encoding="utf-8")
        content = {split: f"{split}.txt" for split in splits} | {"names": dict(enumerate(images.run.classes))}
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        (folder / "data.yaml").write_text(text, encoding="utf-8")
        write_note(folder, "yolo")
