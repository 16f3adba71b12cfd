"""DeepFashion: the Category and Attribute Prediction Benchmark, and its fine-grained subset with 26 attributes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bmix.data.manifest import COLUMNS, Manifest, quoted
from bmix.sources.class_list import ClassList
from bmix.sources.deepfashion.files import FileLines, attribute_values, declared_rows, list_lines
from bmix.sources.label_cells import Entries
from bmix.sources.split_map import refuse_unknown_parts
from bmix.support.errors import InputError, nearest

ATTRIBUTES = "list_attr_cloth.txt"
COARSE = "list_attr_img.txt"
FINE = "train_attr.txt"
PARTITION = "list_eval_partition.txt"
PARTS = ["train", "val", "test"]
FOLDERS = ["", "Anno", "Anno_coarse", "Anno_fine", "Anno/Anno_coarse", "Anno/Anno_fine", "split", "Anno_fine/split"]


def read_deepfashion(
    path: Path, root: Path, split_of: dict[str, str] | None = None, listed: ClassList | None = None
) -> Manifest:
    """Read DeepFashion into a manifest without digests, in the layout that is found at `path`.

    Benchmark: list_attr_cloth.txt and list_attr_img.txt (1 present, -1 absent, 0 unknown: ignored) in path or its
    folder Anno or Anno_coarse, list_eval_partition.txt there or in Eval. Fine-grained: list_attr_cloth.txt, and for
    train, val and test a list of images and the 0/1 attributes line by line (train.txt, train_attr.txt), in path or its
    folder Anno_fine or split. Image paths start at path, at the folder around it, or at Img in one of them.
    split_of: part (train, val, test) -> split; parts that it does not name are left out. The id is the image path.
    listed: the classes as the user listed them, in their order; without, the attributes that some training image has.
    Notes name those left out.
    Raises InputError with file and line for: files of both layouts or of none, a declared count that differs, a line
    with too few or too many values, a value that is not allowed, lists of different lengths, an image named twice, a
    part that is unknown, an image in the partition that has no attributes.
    """
    split_of = split_of or {}
    folder, coarse = _layout(path)
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError("data.root", f"{root} does not hold {path}", "the folder that data.path names", "correct it")
    notes: dict[str, str] = {}
    names = _attribute_names(_beside(folder, ATTRIBUTES), notes)
    rows = _read_coarse(folder, path, len(names), notes) if coarse else _read_fine(folder, len(names))
    images, origins, parts, present, unknown = rows
    available = [part for part in PARTS if part in set(parts)]
    refuse_unknown_parts(split_of, available, str(folder))
    splits = np.array([split_of.get(part, "") if split_of else part for part in parts], dtype=object)
    kept_N = (splits != "") & np.array([part != "" for part in parts], bool)
    if left := [part for part in available if split_of and part not in split_of]:
        notes["left out"] = f"the parts {quoted(left)}, which data.splits does not name"
    count = int(kept_N.sum())
    unlabelled_N = splits[kept_N] == "unlabelled"
    labels, ignore = (Entries(*cells, names).at(kept_N).without(unlabelled_N) for cells in (present, unknown))
    classes = _listed(names, listed, notes) if listed else _trained(names, labels, splits[kept_N] == "train", notes)
    base = _image_base(path, folder, root, images[0] if images else "")
    prefix = base.resolve().relative_to(root.resolve()).as_posix()
    ids = [images[row] for row in np.flatnonzero(kept_N)]
    frame = pd.DataFrame(
        {
            "id": ids,
            "path": [f"{prefix}/{name}" if prefix != "." else name for name in ids],
            "split": splits[kept_N].astype("str"),
            "labels": _lists(labels, count, classes),
            "ignore": _lists(ignore, count, classes),
            "digest": "",
        }
    )
    frame.index = pd.Index([origins[row] for row in np.flatnonzero(kept_N)], name="origin", dtype="str")
    notes["labels"] = f"{len(names)} attributes, " + ("the benchmark's" if coarse else "the fine-grained subset's")
    if coarse:
        notes["ignore"] = "attributes given as 0, unknown"
    return Manifest(frame[COLUMNS], classes, notes, classes_listed=bool(listed))


def _trained(names: list[str], labels: Entries, training_N: np.ndarray, notes: dict[str, str]) -> list[str]:
    """The attributes that some training image has, as the classes; all if there is none."""
    seen = set(labels.seen(training_N))
    if left := [name for name in names if name not in seen] if seen else []:
        notes["untrained"] = f"attributes that no training image has, left out: {quoted(left)}"
    return [name for name in names if name not in left]


def _listed(names: list[str], listed: ClassList, notes: dict[str, str]) -> list[str]:
    """The attributes that the user listed, as the classes."""
    listed.refuse_missing(names, "an attribute")
    notes["classes"] = listed.note
    if left := [name for name in names if name not in listed.names]:
        notes["unlisted"] = f"attributes that are not listed, left out: {quoted(left)}"
    return listed.names


def _lists(entries: Entries, count: int, classes: list[str]) -> pd.Series:
    # Those of other names would follow the classes.
    return pd.Series(entries.only(classes).lists(count, classes), dtype=object)


Cells = tuple[np.ndarray, np.ndarray]
Rows = tuple[list[str], list[str], list[str], Cells, Cells]
"""Image paths, where each was read, its part ('' for none); present and unknown attributes as (rows, columns)."""


def _layout(path: Path) -> tuple[Path, bool]:
    """The folder with the attribute files, and whether it is the benchmark's."""
    if not path.is_dir():
        raise InputError("data.path", f"{path} is not a folder", "a folder of DeepFashion", "correct data.path")
    fine = [path / name for name in FOLDERS if (path / name / FINE).is_file()]
    coarse = [path / name for name in FOLDERS if (path / name / COARSE).is_file() and path / name not in fine]
    found = [*((folder, True) for folder in coarse), *((folder, False) for folder in fine)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            "data.path",
            f"{path} holds several sets of attributes: {', '.join(str(folder) for folder, _ in found)}",
            "one of them",
            f"set data.path to one of these folders, and keep data.root at {path}",
        )
    raise InputError(
        "data.path",
        f"{path} has neither {COARSE} nor {FINE}",
        f"Anno/{COARSE} and Eval/{PARTITION}, or Anno_fine/{FINE}",
        "unpack the annotations there, or correct data.path",
    )


def _beside(folder: Path, name: str, others: tuple[str, ...] = ("Eval",)) -> Path:
    """A file in the folder of the attributes, in the one around it, or in Eval of either."""
    places = [folder, folder.parent, *(base / other for base in (folder, folder.parent) for other in others)]
    found = [place / name for place in places if (place / name).is_file()]
    if not found:
        raise InputError(
            str(folder), f"no {name} here, nor in the folder around it or in Eval", name, "unpack DeepFashion anew"
        )
    return found[0]


def _image_base(path: Path, folder: Path, root: Path, image: str) -> Path:
    """Where the listed image paths start: the first place inside root that has the first image, else `path`."""
    around = [path, folder, path.parent, folder.parent]
    places = [place for base in around for place in (base, base / "Img", base / "img")]
    inside = [place for place in places if place.resolve().is_relative_to(root.resolve())]
    try:
        return next((place for place in inside if image and (place / image).is_file()), path)
    except (OSError, ValueError):
        return path


def _attribute_names(path: Path, notes: dict[str, str]) -> list[str]:
    """The names in column order; a name that is duplicated gets its number."""
    lines = declared_rows(path, "attribute_name")
    names = []
    for number, line in lines:
        name, _, kind = line.strip().replace("\t", " ").rpartition(" ")
        if not name.strip() or not kind.isdecimal():
            raise InputError(
                f"{path}, line {number}", f'"{line.strip()}"', "an attribute's name and, last, its type", "correct it"
            )
        names.append(name.strip())
    repeated = {name for name, count in Counter(names).items() if count > 1}
    if repeated:
        notes["classes"] = f"{quoted(sorted(repeated))} repeated in {ATTRIBUTES}, told apart by number"
    names = [f"{name} ({number})" if name in repeated else name for number, name in enumerate(names, start=1)]
    if not names or len(set(names)) < len(names):
        raise InputError(str(path), "no attribute" if not names else "a name twice", "attributes", "unpack it anew")
    return names


def _read_coarse(folder: Path, path: Path, columns: int, notes: dict[str, str]) -> Rows:
    source = folder / COARSE
    part_of = _read_partition(_beside(folder, PARTITION))
    images: list[str] = []
    present: list[Cells] = []
    unknown: list[Cells] = []
    first_line: dict[str, int] = {}
    lines = FileLines(source, "image_name")
    for batch in lines.batches():
        names, values_BK = attribute_values(batch, columns, allowed=(-1, 0, 1), named=True)
        for number, name in zip(batch.numbers, names, strict=True):
            if first_line.setdefault(name, number) != number:
                raise _twice(f"{source}, line {number}", name, first_line[name])
        for cells, value in ((present, 1), (unknown, 0)):
            rows, found = np.nonzero(values_BK == value)
            cells.append((rows + len(images), found))
        images += names
    lines.refuse_other_count(len(images))
    for name, (_, where) in part_of.items():
        if name not in first_line:
            raise InputError(
                where,
                f'"{name}" has no attributes in {source}',
                "an image of that list",
                f"correct or remove the line.{nearest(name, images[:1000])}",
            )
    parts = [part_of.get(name, ("", ""))[0] for name in images]
    if without := parts.count(""):
        notes["without part"] = f"{without} images that {PARTITION} does not name are left out"
    return images, [f"{source}, line {first_line[name]}" for name in images], parts, _stack(present), _stack(unknown)


def _read_partition(path: Path) -> dict[str, tuple[str, str]]:
    """Image path -> its part, and the line that says so."""
    part_of: dict[str, tuple[str, str]] = {}
    for number, line in declared_rows(path, "image_name"):
        name, _, part = line.strip().replace("\t", " ").rpartition(" ")
        where = f"{path}, line {number}"
        if part not in PARTS or not name.strip():
            raise InputError(
                where, f'"{line.strip()}"', f"an image path and one of {quoted(PARTS)}", "correct or remove the line"
            )
        if name.strip() in part_of:
            raise _twice(where, name.strip(), int(part_of[name.strip()][1].rpartition(" ")[2]))
        part_of[name.strip()] = part, where
    return part_of


def _twice(where: str, name: str, first: int) -> InputError:
    return InputError(where, f'"{name}" is already in line {first}', "each image once", "remove one of the lines")


def _read_fine(folder: Path, columns: int) -> Rows:
    images: list[str] = []
    origins: list[str] = []
    parts: list[str] = []
    present: list[Cells] = []
    place_of: dict[str, str] = {}
    for part, listed, attributes in _fine_files(folder):
        names = list_lines(listed)
        lines = FileLines(attributes, None)
        read = 0
        for batch in lines.batches():
            _, values_BK = attribute_values(batch, columns, allowed=(0, 1), named=False)
            rows, found = np.nonzero(values_BK == 1)
            present.append((rows + len(images) + read, found))
            read += len(values_BK)
        if read != len(names):
            longer, other, line = (attributes, listed, len(names)) if read > len(names) else (listed, attributes, read)
            raise InputError(
                f"{longer}, line {line + 1}",
                f"no line in {other} belongs to this one: {len(names)} images in {listed.name}, "
                f"{read} rows in {attributes.name}",
                "a row of attributes for each image",
                "unpack both files anew; they must come from one release",
            )
        for number, name in enumerate(names, start=1):
            where = f"{listed}, line {number}"
            if place_of.setdefault(name, where) != where:
                raise InputError(where, f'"{name}" was already at {place_of[name]}', "each image once", "remove one")
            origins.append(where)
        images += names
        parts += [part] * len(names)
    return images, origins, parts, _stack(present), _stack([])


def _fine_files(folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """The parts that have a list of images or of attributes: part, list, attributes."""
    for part in PARTS:
        listed, attributes = folder / f"{part}.txt", folder / f"{part}_attr.txt"
        if not listed.is_file() and not attributes.is_file():
            continue
        for path in (listed, attributes):
            if not path.is_file():
                raise InputError(str(path), "no such file", f"{listed.name} and {attributes.name}", "add it")
        yield part, listed, attributes


def _stack(cells: list[Cells]) -> Cells:
    empty = np.zeros(0, np.int64)
    return np.concatenate([empty, *(rows for rows, _ in cells)]), np.concatenate(
        [empty, *(found for _, found in cells)]
    )
