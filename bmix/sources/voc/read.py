"""PASCAL VOC: annotations of objects in XML, with VOC's classes or others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from bmix.data.manifest import COLUMNS, Manifest
from bmix.sources.class_list import ClassList
from bmix.sources.repeated import merge_repeated
from bmix.sources.voc.annotation import Annotation, read_annotation
from bmix.sources.voc.classes import classes_of
from bmix.sources.voc.layout import UNLABELLED, Part, annotation_file, choose_parts, find_parts
from bmix.sources.voc.pictures import Pictures
from bmix.support.errors import InputError, quoted
from bmix.support.errors import listed as listed_names

NOTES = {
    "ignore": {"ignore": "classes of which every object is marked difficult"},
    "drop": {"labels": "a class of which every object is marked difficult counts as absent"},
    "positive": {"labels": "objects marked difficult count as any other"},
}


@dataclass(frozen=True)
class _Picture:
    """One image: its id, its path below the root, its split, what names it, its annotation unless it is unlabelled."""

    id: str
    path: str
    split: str
    where: str
    annotation: Annotation | None


def read_voc(
    path: Path,
    root: Path,
    split_of: dict[str, str] | None = None,
    difficult: Literal["ignore", "drop", "positive"] = "ignore",
    listed: ClassList | None = None,
) -> Manifest:
    """Read VOC's layout into a manifest without digests.

    path: one year's folder, e.g. `VOCdevkit/VOC2007`, a VOCdevkit, or a folder with XML annotations as `find_parts`
    finds them. root: the folder that the manifest's paths start from; the images are below it.
    split_of: the split of each part, as `choose_parts` takes it. An image in several lists of one split is taken once.
    Without lists all images that have an annotation are train. The labels of all annotations of an image are joined.
    difficult: what a class is of which every object is marked difficult: ignored, absent, or present.
    listed: the classes as the user listed them; without, as `classes_of` finds them.
    Images of split `unlabelled` need no annotation. Rows stand in the order of the parts and of the lines in the lists.
    Raises InputError for a folder in another layout or outside the root, a part that is not there, an image in two
    splits or without its annotation, a list that is not UTF-8, an annotation that is not XML of VOC, has a document
    type or names a class that is not listed.
    """
    parts = find_parts(path)
    chosen = choose_parts(path, parts, split_of or {})
    pictures, without = _pictures(chosen, root)
    first_of: dict[str, Path] = {}
    for picture in pictures:
        if picture.annotation:
            for name, _ in picture.annotation.objects:
                first_of.setdefault(name, picture.annotation.path)
    classes, classes_note = classes_of(first_of, listed)
    column_of = {name: column for column, name in enumerate(classes)}
    rows = []
    for picture in pictures:
        present, ignored = picture.annotation.present(difficult) if picture.annotation else (set(), set())
        labels, ignore = (sorted(names, key=column_of.__getitem__) for names in (present, ignored))
        rows.append([picture.id, picture.path, picture.split, labels, ignore, ""])
    origins = pd.Index([picture.where for picture in pictures], name="origin", dtype=object)
    notes = {"form": _form(chosen, path)} | NOTES[difficult]
    if classes_note:
        notes["classes"] = classes_note
    if renamed := [f"{split} from {part.name}" for part, split in chosen if part.name not in ("", split)]:
        notes["splits"] = ", ".join(renamed)
    if without:
        notes["without annotation"] = f"{without} images that no annotation belongs to are left out"
    frame = pd.DataFrame(rows, columns=COLUMNS, index=origins)
    _refuse_all_difficult(frame, classes, pictures, difficult, str(path))
    manifest = Manifest(frame, classes, notes, classes_listed=bool(listed))
    # An image that is listed twice is refused by its id.
    return manifest if frame["id"].duplicated().any() else merge_repeated(manifest, str(path), join=True)


def _form(chosen: list[tuple[Part, str]], path: Path) -> str:
    """Where the annotations and the lists of the parts are, for the note."""

    def below(folders: list[Path]) -> str:
        names = (folder.relative_to(path).as_posix() for folder in dict.fromkeys(folders))
        return listed_names("the folder itself" if name == "." else name for name in names)

    annotations = [part.annotations for part, _ in chosen if part.annotations]
    lists = [part.listed for part, _ in chosen if part.listed]
    return f"annotations in {below(annotations)}; " + (f"lists {below(lists)}" if lists else "no lists of images")


def _refuse_all_difficult(
    frame: pd.DataFrame, classes: list[str], pictures: list[_Picture], difficult: str, where: str
) -> None:
    """InputError for a class that the training images show, but only in objects that are marked difficult."""
    if difficult == "positive":
        return
    train = [picture.annotation for picture in pictures if picture.split == "train" and picture.annotation]
    named = {name for annotation in train for name, _ in annotation.objects}
    present = {name for names in frame["labels"][frame["split"] == "train"] for name in names}
    if hidden := [name for name in classes if name in named - present]:
        raise InputError(
            where,
            f"every object of split train that is called {quoted(hidden)} is marked difficult",
            "a training image with each class",
            "set data.difficult to positive, or correct the marks",
        )


def _pictures(chosen: list[tuple[Part, str]], root: Path) -> tuple[list[_Picture], int]:
    """Every image of the parts, once for all lists of a split; and how many there are that no annotation belongs to."""
    found: dict[Path, Pictures] = {}
    first_of: dict[tuple[Path, str], tuple[Part, str, str]] = {}
    pictures: list[_Picture] = []
    without = 0
    for part, split in chosen:
        if part.base not in found:
            found[part.base] = _image_files(part, root)
        images = found[part.base]
        before = len(pictures)
        for where, name in part.names():
            first_part, first_split, first_where = first_of.setdefault((part.base, name), (part, split, where))
            if first_split != split:
                raise InputError(
                    where,
                    f'image "{name}" of split {split} is in split {first_split} already, by {first_where}',
                    "every image in one split",
                    "remove it from one of the lists, or change data.splits",
                )
            # A line that is repeated within a list is left in: as an id that is used twice it will be refused.
            if first_part is part:
                pictures.append(_picture(part, name, split, where, images))
        if part.listed is None:
            without += images.count - len({picture.path for picture in pictures[before:]})
    return pictures, without


def _picture(part: Part, name: str, split: str, where: str, images: Pictures) -> _Picture:
    annotation = None
    if split != UNLABELLED:
        folder = part.annotations or part.base / "Annotations"
        path = annotation_file(folder, name)
        if path is None:
            found = f"{folder / name}.xml does not exist"
            raise InputError(where, found, "an annotation of every image", "add it, or drop the line")
        annotation = read_annotation(path)
    file = images.find(name, annotation.filename if annotation else "", where)
    return _Picture(f"{part.prefix}{name}", file, split, where, annotation)


def _image_files(part: Part, root: Path) -> Pictures:
    """The image files of a year or of a split's folder: in JPEGImages, or anywhere in the folder, or below the root.

    Raises InputError if they are not below the root.
    """
    places = [part.base / "JPEGImages"] if (part.base / "JPEGImages").is_dir() else [part.base, root]
    inside = [place for place in places if place.resolve().is_relative_to(root.resolve())]
    if not inside:
        raise InputError(
            "data.root", f"{root} does not hold {part.base}", "the folder that data.path names", "correct it"
        )
    pictures = [Pictures(place, root) for place in inside]
    return next((one for one in pictures if one.count), pictures[0])
