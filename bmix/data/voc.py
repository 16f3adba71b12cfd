"""PASCAL VOC in the layout of its VOCdevkit: JPEGImages, Annotations, ImageSets/Main."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
import pandas as pd
from defusedxml.common import DefusedXmlException

from bmix.data.manifest import COLUMNS, Manifest, path_fault, quoted
from bmix.errors import InputError, nearest

CLASSES = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
]  # fmt: skip
SPLITS = ["train", "val", "test"]
EVERY_PART = ["JPEGImages", "Annotations", "ImageSets/Main"]


def read_voc(path: Path, root: Path) -> Manifest:
    """Read one year of VOC into a manifest without digests.

    path: the year's folder, e.g. `VOCdevkit/VOC2007`, or a VOCdevkit with a single year. root: that folder or one that
    holds it; the manifest's paths start there.
    A class is present where any of its objects is not difficult, and ignored where all of them are. The splits are
    those that ImageSets/Main has a list for: train is needed, val and test are optional.
    Raises InputError for a folder in another layout or outside the root, an image without its file or annotation, an
    annotation that is no XML or names an unknown class.
    """
    folder = year_folder(path)
    _refuse_other_layout(folder)
    if not folder.resolve().is_relative_to(root.resolve()):
        raise InputError("data.root", f"{root} does not hold {folder}", "the folder that data.path names", "correct it")
    prefix = folder.resolve().relative_to(root.resolve())
    listed = [(split, where, name) for split in SPLITS for where, name in _read_list(folder, split)]
    rows = []
    for split, where, name in listed:
        labels, ignore = _read_annotation(folder, name, where)
        rows.append([name, str(prefix / "JPEGImages" / f"{name}.jpg"), split, labels, ignore, ""])
    origins = pd.Index([where for _, where, _ in listed], name="origin", dtype=object)
    frame = pd.DataFrame(rows, columns=COLUMNS, index=origins)
    return Manifest(frame, list(CLASSES), {"ignore": "classes of which every object is marked difficult"})


def year_folder(path: Path) -> Path:
    """The folder of one year: `path` itself, or the only year inside where `path` is a VOCdevkit.

    Raises InputError where `path` is no folder, or a VOCdevkit with no year or several.
    """
    if not path.is_dir():
        raise InputError(
            "data.path", f"{path} is not a folder", "a year's folder, e.g. VOCdevkit/VOC2007", "correct it"
        )
    if (path / "JPEGImages").exists() or (path / "ImageSets").exists():
        return path
    years = sorted(entry.name for entry in path.glob("VOC*") if entry.is_dir())
    if len(years) == 1:
        return path / years[0]
    raise InputError(
        "data.path",
        f"{path} holds {'the years ' + ', '.join(years) if years else 'no VOC year'}",
        "a year's folder with " + ", ".join(EVERY_PART),
        f"set data.path and data.root to {path / years[0]}, or to another year" if years else "correct data.path",
    )


def _refuse_other_layout(folder: Path) -> None:
    missing = [part for part in EVERY_PART if not (folder / part).is_dir()]
    if missing:
        raise InputError(
            str(folder), f"no folder {' and no folder '.join(missing)}", ", ".join(EVERY_PART), "unpack VOC anew"
        )
    if not (folder / "ImageSets/Main/train.txt").is_file():
        raise InputError(
            str(folder / "ImageSets/Main"), "no train.txt", "the official list of training images", "unpack VOC anew"
        )


def _read_list(folder: Path, split: str) -> list[tuple[str, str]]:
    """Where each image of a split is listed, and its name; none where the split has no list."""
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    if not path.is_file():
        return []
    lines = enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
    return [(f"{path}, line {number}", line.split()[0]) for number, line in lines if line.strip()]


def _read_annotation(folder: Path, name: str, where: str) -> tuple[list[str], list[str]]:
    """The present and the ignored classes of one image, in class order."""
    if "/" in name or path_fault(name):
        raise InputError(where, f'image "{name}"', "the name of an image in JPEGImages", "correct or remove the line")
    image, annotation = folder / "JPEGImages" / f"{name}.jpg", folder / "Annotations" / f"{name}.xml"
    for path in (image, annotation):
        if not path.is_file():
            raise InputError(
                where, f"{path} does not exist", "an image and an annotation", "add the file, or drop the line"
            )
    try:
        objects = defusedxml.ElementTree.fromstring(annotation.read_bytes()).findall("object")
    except (ParseError, DefusedXmlException) as error:
        raise InputError(
            str(annotation), f"not readable as XML: {error!r}", "a VOC annotation", "replace it"
        ) from error
    found = [(_text(entry, "name"), _text(entry, "difficult") == "1") for entry in objects]
    for class_name, _ in found:
        if class_name not in CLASSES:
            raise InputError(
                str(annotation),
                f'object "{class_name}"',
                f"one of {quoted(CLASSES)}",
                f"correct the annotation.{nearest(class_name, CLASSES)}",
            )
    present = {class_name for class_name, difficult in found if not difficult}
    ignored = {class_name for class_name, _ in found} - present
    return sorted(present), sorted(ignored)


def _text(entry: Element, tag: str) -> str:
    return (entry.findtext(tag) or "").strip()
