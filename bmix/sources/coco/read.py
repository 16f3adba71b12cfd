"""MS-COCO: annotations in JSON, as published or as others export them, and the images they name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bmix.data.manifest import REVIEWED, Manifest, manifest_columns, quoted
from bmix.sources.class_list import ClassList
from bmix.sources.coco.categories import Categories
from bmix.sources.coco.file import CocoFile, collection_paused
from bmix.sources.coco.layout import UNLABELLED, choose_parts, find_parts
from bmix.sources.coco.places import image_paths
from bmix.sources.label_cells.reviewed import reviewed_entries
from bmix.sources.repeated import merge_repeated
from bmix.support.errors import InputError


@dataclass(frozen=True)
class _Part:
    """The images of one part: frame without `labels`; per image the ids of its categories, and what was reviewed."""

    name: str
    frame: pd.DataFrame
    category_ids: list[set[str]]
    reviewed: list[dict[str, str]]
    has_no_numbers: bool


def read_coco(
    path: Path, root: Path, split_of: dict[str, str], crowd: bool, listed: ClassList | None = None
) -> Manifest:
    """Read COCO's instance annotations into a manifest without digests.

    path: a JSON file, or a folder with one for each part as `find_parts` finds them. root: holds the images, in the
    folders that `image_paths` looks into.
    split_of: the split of each part, as `choose_parts` takes it.
    An image's labels are the categories with at least one annotation; without `crowd`, of those with `iscrowd` 0. An
    image without annotation has no label. The classes are the names of the categories with an annotation in ascending
    id; or those of `listed`, in its order, and others are left out. A note tells what is left out. An image's id is
    COCO's, as text, after PART/ if several parts have the same ids; of an image under several ids it is the first, and
    its labels are those of all.
    Rows stand in the order of the parts and of the images in their files.
    Raises InputError for a folder in another layout, a part that is not there, a file that is not COCO's JSON,
    categories that are duplicated or differ between parts, an annotation of an unknown image or category.
    """
    files = find_parts(path)
    parts = choose_parts(path, files, split_of)
    categories = Categories()
    with collection_paused():
        read = [
            _read_part(part, files[part].file_for(part, split), root, split, crowd, categories)
            for part, split in parts.items()
        ]
        names = categories.names(listed)
        classes = listed.names if listed else list(dict.fromkeys(names.values()))
        column_of = {number: classes.index(name) for number, name in names.items()}
        labels = [
            [classes[column] for column in sorted({column_of[number] for number in own if number in column_of})]
            for part in read
            for own in part.category_ids
        ]
    frame = pd.concat([part.frame for part in read])
    id_note = _prefix_equal_ids(frame, read)
    frame = frame.assign(labels=pd.Series(labels, index=frame.index, dtype=object))
    notes = {
        "splits": ", ".join(f"{split} from {part}" for part, split in parts.items()),
        "labels": "categories with an annotation, crowds " + ("included" if crowd else "left out"),
    }
    if id_note:
        notes["ids"] = id_note
    if any(answers := [own for part in read for own in part.reviewed]):
        frame[REVIEWED] = pd.Series([[n for n in own if n in classes] for own in answers], frame.index, dtype=object)
        notes |= reviewed_entries(answers)[1]
    if listed:
        notes["classes"] = listed.note
    if left := [name for number, name in categories.every.items() if number not in names]:
        why = "not listed" if listed else "without an annotation"
        notes["left out"] = f"categories {why}: {quoted(left)}"
    if odd := [part.name for part in read if part.has_no_numbers]:
        notes["not JSON"] = f"NaN or Infinity, read as null, in {quoted(odd)}"
    return merge_repeated(Manifest(frame[manifest_columns(frame)], classes, notes, bool(listed)), str(path), join=True)


def _prefix_equal_ids(frame: pd.DataFrame, read: list[_Part]) -> str:
    """Where parts count their images again, start every id with its part, in place; and a note on it, else ''."""
    if sum(part.frame["id"].nunique() for part in read) == frame["id"].nunique():
        return ""
    parts = [part.name for part in read for _ in range(len(part.frame))]
    frame["id"] = [f"{part}/{number}" for part, number in zip(parts, frame["id"], strict=True)]
    return "start with the part, since several parts have the same"


def _refuse_ambiguous_ids(file: CocoFile, ids: list[str], paths: list[str]) -> None:
    """InputError for an id of two image files: nobody can tell which of them its annotations are of."""
    if len(set(ids)) == len(ids):
        return
    first_of: dict[str, int] = {}
    for position, number in enumerate(ids):
        first = first_of.setdefault(number, position)
        if paths[first] != paths[position]:
            raise InputError(
                file.where("images", position),
                f'id "{number}" is that of {paths[first]} too, in images[{first}]',
                "an id of its own for each image",
                "correct one of the two ids, and those of its annotations",
            )


def _read_part(part: str, source: Path, root: Path, split: str, crowd: bool, categories: Categories) -> _Part:
    """The images of one part, with labels unless it is unlabelled. The JSON, of gigabytes, is let go of."""
    file = CocoFile.read(source)
    image_ids, file_names = file.images()
    paths = image_paths(file, file_names, part, root)
    _refuse_ambiguous_ids(file, image_ids, paths)
    found: dict[str, set[str]] = {}
    if split != UNLABELLED:
        own = file.categories()
        found = file.categories_of(image_ids, own, crowd)
        categories.add(source, own, set().union(*found.values()))
    origins = [file.where("images", position) for position in range(len(image_ids))]
    frame = pd.DataFrame(
        {"id": image_ids, "path": paths, "split": split, "ignore": [[] for _ in image_ids], "digest": ""},
        index=pd.Index(origins, name="origin", dtype=object),
    )
    return _Part(part, frame, [found.get(image, set()) for image in image_ids], file.reviewed(), file.has_no_numbers)
