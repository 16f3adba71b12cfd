"""The images that a person names for prediction: a folder, files, or a table of paths."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bmix.data.manifest import path_fault
from bmix.sources.image_names import SUFFIXES, is_image_name
from bmix.sources.table.files import FORMATS, read_cells
from bmix.sources.table.paths import found_paths
from bmix.sources.table.read import text_column
from bmix.support.errors import InputError


@dataclass(frozen=True)
class Pictures:
    """Image files: `names` as the output calls them, `paths` where they lie; none outside `root` is read, if any."""

    names: list[str]
    paths: list[Path]
    root: Path | None = None

    def __len__(self) -> int:
        return len(self.names)


def find_pictures(given: Sequence[str], root: Path | None = None) -> Pictures:
    """The images in folders, at any depth and sorted; files as named; or those whose paths are in a table's column.

    root: the folder that a table's paths start from; by default the table's own. Whether a file is there, and an image,
    is not looked at. InputError if a place is missing, a folder holds no image, a table cannot be read, or one of its
    paths is absolute or leads out of root.
    """
    places = [Path(name) for name in given]
    if len(places) == 1 and places[0].suffix.lower() in FORMATS:
        return _in_table(places[0], root if root is not None else places[0].parent)
    if root is not None:
        raise InputError("--root", f"is {root}, but no table is named", "a single table", "leave it out")
    paths = [path for place in places for path in _below(place)]
    return Pictures([path.as_posix() for path in paths], paths)


def _below(place: Path) -> Iterable[Path]:
    if place.is_file():
        if place.suffix.lower() in FORMATS:
            expected = "a table by itself, or folders and files of images"
            raise InputError(str(place), "is a table among other places", expected, "name it alone")
        return [place]
    if not place.is_dir():
        expected = "a folder, a file of an image, or a table of paths"
        raise InputError(str(place), "no such file or folder", expected, "correct the name")
    found = list(_images(place))
    if not found:
        expected = f"files that end in {', '.join(SUFFIXES)}"
        raise InputError(str(place), "holds no image", expected, "name another folder")
    return found


def _images(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent) / name for name in sorted(names) if is_image_name(name))


def _in_table(table: Path, root: Path) -> Pictures:
    if not table.is_file():
        raise InputError(str(table), "no such file", "a table of paths", "correct the name")
    if not root.is_dir():
        raise InputError("--root", f"{root} is not a folder", "the folder that the paths start from", "correct it")
    cells = read_cells(table)
    if not cells.has("path"):
        found = f"no column path; columns found: {', '.join(cells.names) or 'none'}"
        raise InputError(str(table), found, "a column path, with a file below the root in each row", "add the column")
    paths = text_column(cells, "path")
    for origin, path in paths.items():
        if fault := path_fault(path):
            raise InputError(
                str(origin),
                f'path "{path}" {fault}',
                "a path below the root, with / between folders",
                "write it relative to the root, and keep the images inside that folder",
            )
    try:
        names = found_paths(paths, root)[0].tolist()
    except InputError as error:
        if error.where != "data.root":
            raise
        raise InputError("--root", error.found, error.expected, error.remedy.replace("data.root", "--root")) from None
    return Pictures(names, [root / name for name in names], root)
