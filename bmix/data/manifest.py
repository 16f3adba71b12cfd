"""The manifest: the one form of every data set, a row per image."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bmix.data.label_lists import flat_names, label_counts, label_matrix
from bmix.support.errors import InputError, nearest, quoted
from bmix.support.files import write_json, write_parquet
from bmix.support.readers import Column, Made, read_json_file, read_table

if TYPE_CHECKING:
    import pyarrow

COLUMNS = ["id", "path", "split", "labels", "ignore", "digest"]
IMAGE_COLUMNS = ["id", "path", "split", "digest"]
"""Those that say nothing of labels."""
TRUE = "true"
"""A further column, of lists of names, where the source itself knows what is true."""
REVIEWED = "reviewed"
"""A further column, of lists of names, where people looked at labels: those classes are as they were answered."""
FURTHER = [TRUE, REVIEWED]
SPLIT_NAMES = ["train", "val", "test", "unlabelled"]
SPLIT_PATTERN = re.compile(r"train|val|test(-[a-z0-9-]+)?|unlabelled")
FEATURES_FILE = "features.npy"
"""The path of every row where a data set holds features: (N, V, D), the rows in manifest order."""

MANIFEST_COLUMNS = {
    name: Column("texts" if name in ("labels", "ignore", *FURTHER) else "text") for name in (*COLUMNS, *FURTHER)
}
_MADE = Made.by_stage("the manifest that the stage prepare writes", "prepare")


@dataclass(frozen=True)
class Manifest:
    """All images of a data set with their labels.

    frame: a row per image with the columns of COLUMNS: `id`, `path` (below the image root), `split`, `labels` and
    `ignore` (lists of class names), `digest` (16 hex digits; empty before the images were verified); TRUE where the
    source knows which labels are true; and REVIEWED where people looked at some. Where its index is named `origin`, it
    says where each row was read, for error messages.
    classes: the class names in column order. notes: what the source decided by itself, for the facts.
    classes_listed: whether somebody listed the names of the classes, so that odd ones are meant. Neither of the two is
    stored in the manifest's files.
    """

    frame: pd.DataFrame
    classes: list[str]
    notes: dict[str, str] = field(default_factory=dict)
    classes_listed: bool = False

    def rows(self, split: str) -> pd.DataFrame:
        """The rows of one split, in manifest order, none where there is no such split."""
        return self.frame[self.frame["split"] == split]

    def ids(self, split: str) -> list[str]:
        """The image ids of one split, in manifest order."""
        return self.rows(split)["id"].tolist()

    def paths(self, split: str) -> list[str]:
        """The image paths of one split, relative to the image root, in manifest order."""
        return self.rows(split)["path"].tolist()

    def labels(self, split: str) -> np.ndarray:
        """The labels of one split, uint8 (N, K) of 0/1; ignored cells are 0."""
        return label_matrix(self.rows(split)["labels"], self.classes)

    def true_labels(self, split: str) -> np.ndarray | None:
        """What the source knows to be true of one split, uint8 (N, K); None if it knows nothing."""
        return label_matrix(self.rows(split)[TRUE], self.classes) if TRUE in self.frame else None

    def ignored(self, split: str) -> np.ndarray:
        """The cells of one split that are neither present nor absent, bool (N, K)."""
        return label_matrix(self.rows(split)["ignore"], self.classes).astype(bool)

    def ignored_if_any(self, split: str) -> np.ndarray | None:
        """As `ignored`; None, without making a matrix, where there is no such cell, as in most data sets."""
        return self.ignored(split) if self.rows(split)["ignore"].map(len).any() else None

    def reviewed_if_any(self, split: str) -> np.ndarray | None:
        """The cells of one split that people looked at, bool (N, K); None, without making a matrix, if there is none.

        They are right as they are given, present or absent.
        """
        if REVIEWED not in self.frame or not self.rows(split)[REVIEWED].map(len).any():
            return None
        return label_matrix(self.rows(split)[REVIEWED], self.classes).astype(bool)

    def splits(self) -> list[str]:
        """The names of the splits that hold an image: train, val, tests, unlabelled."""
        return sorted(self.frame["split"].unique(), key=lambda name: (SPLIT_NAMES.index(name.split("-")[0]), name))


def holds_features(manifest: Manifest) -> bool:
    """Whether the rows of a manifest are features, not images."""
    return bool(len(manifest.frame)) and bool((manifest.frame["path"] == FEATURES_FILE).all())


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.parquet` and `classes.json`; InputError if they are missing, damaged or not a manifest's."""
    path = folder / "manifest.parquet"
    frame = read_table(path, MANIFEST_COLUMNS, _MADE, optional=FURTHER)
    classes = read_json_file(folder / "classes.json", _MADE)
    if not isinstance(classes, list) or not all(isinstance(name, str) and name for name in classes):
        _MADE.refuse(folder / "classes.json", "is not a list of names")
    if len(set(classes)) < len(classes) or not classes:
        found = f"{len(classes)} names, {len(set(classes))} of them distinct"
        _MADE.refuse(folder / "classes.json", found, "names, each once")
    manifest = Manifest(frame, classes)
    for refuse in (_refuse_duplicate_ids, _refuse_bad_splits, _refuse_bad_paths):
        refuse(frame, str(path))
    _refuse_unknown_classes(manifest, str(path))
    return manifest


def read_images(folder: Path) -> Manifest:
    """The manifest without its labels, which are not read, and without classes; InputError as `read_manifest`."""
    path = folder / "manifest.parquet"
    frame = read_table(path, {name: MANIFEST_COLUMNS[name] for name in IMAGE_COLUMNS}, _MADE)
    for refuse in (_refuse_duplicate_ids, _refuse_bad_splits, _refuse_bad_paths):
        refuse(frame, str(path))
    return Manifest(frame, [])


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write `manifest.parquet` and `classes.json`; equal manifests give equal bytes."""
    columns = manifest_columns(manifest.frame)
    schema = text_schema(columns, set(_lists_of(manifest.frame)))
    write_parquet(folder / "manifest.parquet", manifest.frame[columns], schema)
    write_json(folder / "classes.json", manifest.classes)


def manifest_columns(frame: pd.DataFrame) -> list[str]:
    """COLUMNS, and those of FURTHER that a frame has."""
    return [*COLUMNS, *(column for column in FURTHER if column in frame)]


def _lists_of(frame: pd.DataFrame) -> list[str]:
    """The columns that hold lists of class names."""
    return [column for column in ("labels", "ignore", *FURTHER) if column in frame]


def text_schema(columns: Iterable[str], lists: set[str]) -> pyarrow.Schema:
    """The parquet types of columns of text; those in `lists` hold a list of class names, or null, in each row."""
    # Training imports this module too, and runs where no parquet is read.
    import pyarrow

    text = pyarrow.string()
    return pyarrow.schema({column: pyarrow.list_(text) if column in lists else text for column in columns})


def validate(manifest: Manifest, where: str) -> None:
    """Refuse a data set that cannot be trained on; `where` names the file or folder it comes from.

    Raises InputError for: no image; an id twice; an unknown split name; a path that is absolute or may leave the image
    root; no image in `train`; no class; a label or ignored class that is not in the class list, or a class that is
    both; a class without a positive in `train`.
    """
    frame = manifest.frame
    if frame.empty:
        raise InputError(where, "the data set is empty", "at least one image", "check that the right file is named")
    _refuse_duplicate_ids(frame, where)
    _refuse_bad_splits(frame, where)
    _refuse_bad_paths(frame, where)
    if not (frame["split"] == "train").any():
        raise InputError(where, "no image in split train", "images to train on", 'give training images split "train"')
    if not manifest.classes:
        raise InputError(where, "no label in split train", "images with labels to train on", "label training images")
    _refuse_unknown_classes(manifest, where)
    _refuse_contradictions(frame, where)
    positives_K = label_counts(manifest.rows("train")["labels"], manifest.classes)
    if not positives_K.all():
        absent = [name for name, count in zip(manifest.classes, positives_K, strict=True) if count == 0]
        raise InputError(
            where,
            f"no positive in split train for {quoted(absent)}",
            "a training image with each class",
            "label training images with them, or leave these classes out of the data",
        )


def origin(frame: pd.DataFrame, position: int, where: str) -> str:
    """Where the row at this position was read, for an error message."""
    return str(frame.index[position]) if frame.index.name == "origin" else f"{where}, row {position + 1}"


def path_fault(path: str) -> str:
    """What is wrong with a path below the image root as text alone; empty if nothing is."""
    if not path:
        return "is empty"
    if "\\" in path:
        return "has a backslash; write / between folders"
    if "\0" in path:
        return "has a null character"
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "is absolute"
    if ".." in path.split("/"):
        return "may leave the root by '..'"
    return ""


def _first(faulty: np.ndarray | pd.Series) -> int | None:
    positions = np.flatnonzero(np.asarray(faulty))
    return int(positions[0]) if len(positions) else None


def _refuse_duplicate_ids(frame: pd.DataFrame, where: str) -> None:
    second = _first(frame["id"].duplicated())
    if second is not None:
        name = frame["id"].iloc[second]
        first = int(np.argmax(frame["id"] == name))
        raise InputError(
            origin(frame, second, where),
            f'id "{name}" is already used at {origin(frame, first, where)}',
            "one row per id",
            "remove one of the two rows, or give it an id of its own",
        )


def _refuse_bad_splits(frame: pd.DataFrame, where: str) -> None:
    codes, names = pd.factorize(frame["split"])
    bad = [code for code, name in enumerate(names) if not SPLIT_PATTERN.fullmatch(name)]
    position = _first(np.isin(codes, bad))
    if position is not None:
        name = frame["split"].iloc[position]
        raise InputError(
            origin(frame, position, where),
            f'split "{name}"',
            "train, val, test, test-NAME (small letters, digits, -) or unlabelled",
            f"correct it.{nearest(name.lower(), SPLIT_NAMES)}",
        )


def _refuse_bad_paths(frame: pd.DataFrame, where: str) -> None:
    for position, path in enumerate(frame["path"]):
        if fault := path_fault(path):
            raise InputError(
                origin(frame, position, where),
                f'path "{path}" {fault}',
                "a path below the folder data.root, with / between folders",
                "write the path relative to data.root, and keep the images inside that folder",
            )


def _refuse_unknown_classes(manifest: Manifest, where: str) -> None:
    known = set(manifest.classes)
    for column in _lists_of(manifest.frame):
        lists = manifest.frame[column]
        if known.issuperset(flat_names(lists)):
            continue
        position, name = next((row, name) for row, names in enumerate(lists) for name in names if name not in known)
        source = manifest.notes.get("classes")
        raise InputError(
            origin(manifest.frame, position, where),
            f'{column}: "{name}" is not in the class list',
            f"one of {quoted(manifest.classes)}" + (f" ({source})" if source else ""),
            f"correct the name, or see that it is among the classes.{nearest(name, manifest.classes)}",
        )


def _refuse_contradictions(frame: pd.DataFrame, where: str) -> None:
    for position, (labels, ignore) in enumerate(zip(frame["labels"], frame["ignore"], strict=True)):
        if ignore and (both := set(labels) & set(ignore)):
            raise InputError(
                origin(frame, position, where),
                f"{quoted(sorted(both))} in labels and in ignore",
                "each class in one of them at most",
                "remove it from labels or from ignore",
            )
