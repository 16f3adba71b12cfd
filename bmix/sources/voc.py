"""PASCAL VOC in the layout of its VOCdevkit, one year or several: JPEGImages, Annotations, ImageSets/Main."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
import pandas as pd
from defusedxml.common import DTDForbidden

from bmix.data.manifest import COLUMNS, Manifest, path_fault, quoted
from bmix.sources.split_map import refuse_unknown_parts
from bmix.support.errors import InputError, nearest

CLASSES = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
]  # fmt: skip
SPLITS = ["train", "val", "test"]
UNLABELLED = "unlabelled"
CLASS_LISTS = {f"{name}_{part}" for name in CLASSES for part in (*SPLITS, "trainval")}
EVERY_PART = ["JPEGImages", "Annotations", "ImageSets/Main"]
NOTES = {
    "ignore": {"ignore": "classes of which every object is marked difficult"},
    "drop": {"labels": "a class of which every object is marked difficult counts as absent"},
    "positive": {"labels": "objects marked difficult count as any other"},
}


def read_voc(
    path: Path,
    root: Path,
    split_of: dict[str, str] | None = None,
    difficult: Literal["ignore", "drop", "positive"] = "ignore",
) -> Manifest:
    """Read VOC into a manifest without digests.

    path: one year's folder, e.g. `VOCdevkit/VOC2007`, or a VOCdevkit. root: that folder or one that holds it; the
    manifest's paths start there.
    split_of: the split of each part. A part is a list of ImageSets/Main: LIST where path is a year's folder, YEAR-LIST
    (2007-trainval) where it is a VOCdevkit. Empty or None: train, val and test of the only year there, of which train
    is needed. An image in several lists of one split is taken once.
    difficult: what a class is of which every object is marked difficult: ignored, absent, or present.
    Images of split `unlabelled` need no annotation. Rows stand in the order of the parts and of the lines in the lists.
    Raises InputError for a folder in another layout or outside the root, a part that is not there, an image in two
    splits or without its annotation, a list that is not UTF-8, an annotation that is no XML of VOC, has a
    document type or names an unknown class.
    """
    if split_of:
        refuse_unknown_parts(split_of, part_lists(path), str(path))
    lists = _auto_lists(path) if not split_of else [(part_lists(path)[part], split) for part, split in split_of.items()]
    folders = list(dict.fromkeys(_year_of(list_path) for list_path, _ in lists))
    prefixes = {folder: _prefix(folder, root) for folder in folders}
    rows, origins = [], []
    for folder, name, split, where in _listed(lists):
        labels, ignore = _read_annotation(folder, name, difficult, where) if split != UNLABELLED else ([], [])
        rows.append([name, str(prefixes[folder] / "JPEGImages" / f"{name}.jpg"), split, labels, ignore, ""])
        origins.append(where)
    frame = pd.DataFrame(rows, columns=COLUMNS, index=pd.Index(origins, name="origin", dtype=object))
    return Manifest(frame, list(CLASSES), dict(NOTES[difficult]))


def part_lists(path: Path) -> dict[str, Path]:
    """Part -> its list of images: LIST in one year's folder, YEAR-LIST in a VOCdevkit; without the lists of a class.

    Raises InputError where `path` is neither.
    """
    return {
        part + file.stem: file
        for part, folder in _years(path).items()
        for file in sorted((folder / "ImageSets" / "Main").glob("*.txt"))
        if file.stem not in CLASS_LISTS
    }


def year_folder(path: Path) -> Path:
    """The folder of one year: `path` itself, or the only year inside where `path` is a VOCdevkit.

    Raises InputError where `path` is no folder, or a VOCdevkit with no year or several.
    """
    years = list(_years(path).values())
    if len(years) == 1:
        return years[0]
    example = f"train={years[0].name[3:]}-trainval+{years[1].name[3:]}-trainval test={years[0].name[3:]}-test"
    raise InputError(
        "data.path",
        f"{path} holds the years {', '.join(year.name for year in years)}",
        "with data.splits: auto a single year",
        f"set data.path and data.root to {years[0]} or another year, or join them, e.g. data.splits: {example}",
    )


def _years(path: Path) -> dict[str, Path]:
    """The folder of each year by what its parts start with: '' for one year's folder, '2007-' in a VOCdevkit."""
    if not path.is_dir():
        raise InputError(
            "data.path", f"{path} is not a folder", "a year's folder, e.g. VOCdevkit/VOC2007", "correct data.path"
        )
    if (path / "JPEGImages").exists() or (path / "ImageSets").exists():
        return {"": path}
    years = {f"{entry.name[3:]}-": entry for entry in sorted(path.glob("VOC?*")) if entry.is_dir()}
    if not years:
        raise InputError(
            "data.path",
            f"{path} holds no VOC year",
            "a year's folder with " + ", ".join(EVERY_PART) + ", or a VOCdevkit",
            "correct data.path",
        )
    return years


def _auto_lists(path: Path) -> list[tuple[Path, str]]:
    lists = [(year_folder(path) / "ImageSets" / "Main" / f"{split}.txt", split) for split in SPLITS]
    _refuse_other_layout(year_folder(path))
    if not lists[0][0].is_file():
        raise InputError(
            str(lists[0][0].parent),
            "no train.txt",
            "the official list of training images",
            "unpack VOC anew, or say in data.splits which lists to take",
        )
    return [(list_path, split) for list_path, split in lists if list_path.is_file()]


def _year_of(list_path: Path) -> Path:
    """The folder of a list's year, which must have VOC's layout."""
    folder = list_path.parent.parent.parent
    _refuse_other_layout(folder)
    return folder


def _refuse_other_layout(folder: Path) -> None:
    missing = [part for part in EVERY_PART if not (folder / part).is_dir()]
    if missing:
        raise InputError(
            str(folder), f"no folder {' and no folder '.join(missing)}", ", ".join(EVERY_PART), "unpack VOC anew"
        )


def _prefix(folder: Path, root: Path) -> Path:
    """The way from the root to a year's folder."""
    if not folder.resolve().is_relative_to(root.resolve()):
        raise InputError("data.root", f"{root} does not hold {folder}", "the folder that data.path names", "correct it")
    return folder.resolve().relative_to(root.resolve())


def _listed(lists: list[tuple[Path, str]]) -> list[tuple[Path, str, str, str]]:
    """Folder, name, split and origin of every image, once for all lists of a split."""
    first_of: dict[tuple[Path, str], tuple[Path, str, str]] = {}
    listed = []
    for list_path, split in lists:
        folder = list_path.parent.parent.parent
        for where, name in _read_list(list_path):
            first_list, first_split, first_where = first_of.setdefault((folder, name), (list_path, split, where))
            if first_split != split:
                raise InputError(
                    where,
                    f'image "{name}" of split {split} is in split {first_split} already, by {first_where}',
                    "every image in one split",
                    "remove it from one of the lists, or change data.splits",
                )
            # A line that is repeated within a list is left in: as an id that is used twice it will be refused.
            if first_list == list_path:
                listed.append((folder, name, split, where))
    return listed


def _read_list(path: Path) -> list[tuple[str, str]]:
    """Where each image of a list stands, and its name. Byte order mark, Windows line ends, blank lines are accepted."""
    data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        found = f"not UTF-8: byte 0x{data[error.start]:02x}"
        raise InputError(f"{path}, line {number}", found, "a list in UTF-8", "save it in UTF-8") from error
    listed = [(f"{path}, line {number}", line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    for where, name in listed:
        if "/" in name or path_fault(name) or len(name.split()) > 1:
            raise InputError(
                where, f'image "{name}"', "the name of one image in JPEGImages", "correct or remove the line"
            )
    return listed


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # A name that is too long for the file system.
        return False


def _read_annotation(folder: Path, name: str, difficult: str, where: str) -> tuple[list[str], list[str]]:
    """The present and the ignored classes of one image, in class order."""
    path = folder / "Annotations" / f"{name}.xml"
    if not _is_file(path):
        raise InputError(where, f"{path} does not exist", "an annotation of every image", "add it, or drop the line")
    found = [(_class_of(entry, path), _is_difficult(entry, path)) for entry in _objects(path)]
    every = {class_name for class_name, _ in found}
    easy = {class_name for class_name, is_difficult in found if not is_difficult}
    present = every if difficult == "positive" else easy
    return sorted(present), sorted(every - present) if difficult == "ignore" else []


def _objects(path: Path) -> list[Element]:
    try:
        annotation = defusedxml.ElementTree.fromstring(path.read_bytes(), forbid_dtd=True)
    except DTDForbidden as error:
        found = "a document type (<!DOCTYPE ...>), which can define entities"
        raise InputError(str(path), found, "a VOC annotation, which has none", "replace it") from error
    # A ValueError and a LookupError come of encodings that are not known.
    except (ParseError, ValueError, LookupError) as error:
        raise InputError(str(path), f"not readable as XML: {error}", "a VOC annotation", "replace it") from error
    if annotation.tag != "annotation":
        raise InputError(str(path), f"<{annotation.tag}>", "a VOC annotation: <annotation>", "replace it")
    return list(annotation.findall("object"))


def _class_of(entry: Element, path: Path) -> str:
    name = (entry.findtext("name") or "").strip()
    if name not in CLASSES:
        remedy = f"correct the annotation.{nearest(name, CLASSES)}"
        raise InputError(str(path), f'object "{name}"', f"one of {quoted(CLASSES)}", remedy)
    return name


def _is_difficult(entry: Element, path: Path) -> bool:
    text = (entry.findtext("difficult") or "").strip() or "0"
    if text not in ("0", "1"):
        raise InputError(str(path), f'difficult "{text}"', "0 or 1", "correct the annotation")
    return text == "1"
