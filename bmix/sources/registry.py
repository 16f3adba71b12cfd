"""The kinds of data that bmix reads, by the name that `data.source` gives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bmix.support.errors import InputError

if TYPE_CHECKING:
    from bmix.data.manifest import Manifest
    from bmix.params import DataParams


@dataclass(frozen=True)
class Source:
    """One kind of data.

    read: the manifest of what params name, before its images are looked at; given the folder that a source which makes
    its images writes them to, or None if they shall not be written. Raises InputError for what cannot be used.
    makes_images: the images are written by `read`. holds_features: rows are numbers, no images. annotates_objects: a
    label says that an object is there, so a class may well be on every image. reads_cells: labels stand in cells, which
    are read by data.delimiter, data.no_label, data.minus_one and data.blank_cell.
    """

    summary: str
    read: Callable[[DataParams, Path | None], Manifest]
    makes_images: bool = False
    holds_features: bool = False
    annotates_objects: bool = False
    reads_cells: bool = False


# The readers import what they need when they are called: the registry itself is read by every command.
def _digits(data: DataParams, images_folder: Path | None) -> Manifest:
    from bmix.data.manifest import COLUMNS, Manifest
    from bmix.sources.digits import compose

    # DVC refuses to run a stage of which a dependency does not exist.
    _refuse_missing_root(data)
    frame, classes = compose(Path(data.path), data.seed, data.image_size, images_folder)
    return Manifest(frame.assign(digest="")[COLUMNS], classes)


def _table(data: DataParams, _images_folder: Path | None) -> Manifest:
    from bmix.sources.label_cells import CellRules
    from bmix.sources.split_map import parse_splits
    from bmix.sources.table.read import read_table

    _refuse_missing_root(data)
    splits, rules = parse_splits(data.splits), CellRules.of(data)
    return read_table(Path(data.path), Path(data.root), data.seed, splits, rules, data.classes)


def _voc(data: DataParams, _images_folder: Path | None) -> Manifest:
    from bmix.sources.class_list import class_list
    from bmix.sources.split_map import parse_splits
    from bmix.sources.voc.read import read_voc

    _refuse_missing_root(data)
    path, root = Path(data.path), Path(data.root)
    return read_voc(path, root, parse_splits(data.splits), data.difficult, class_list(data.classes, root))


def _coco(data: DataParams, _images_folder: Path | None) -> Manifest:
    from bmix.sources.class_list import class_list
    from bmix.sources.coco.read import read_coco
    from bmix.sources.split_map import parse_splits

    _refuse_missing_root(data)
    path, root = Path(data.path), Path(data.root)
    return read_coco(path, root, parse_splits(data.splits), data.crowd, class_list(data.classes, root))


def _deepfashion(data: DataParams, _images_folder: Path | None) -> Manifest:
    from bmix.sources.class_list import class_list
    from bmix.sources.deepfashion.read import read_deepfashion
    from bmix.sources.split_map import parse_splits

    _refuse_missing_root(data)
    path, root = Path(data.path), Path(data.root)
    return read_deepfashion(path, root, parse_splits(data.splits), class_list(data.classes, root))


def _folder(data: DataParams, _images_folder: Path | None) -> Manifest:
    from bmix.sources.class_list import class_list
    from bmix.sources.folder.read import read_folder
    from bmix.sources.split_map import parse_splits

    _refuse_missing_root(data)
    path, root = Path(data.path), Path(data.root)
    return read_folder(path, root, parse_splits(data.splits), class_list(data.classes, root))


def _features(data: DataParams, images_folder: Path | None) -> Manifest:
    from bmix.sources.class_list import class_list
    from bmix.sources.features.read import read_features
    from bmix.sources.label_cells import CellRules
    from bmix.sources.split_map import parse_splits

    splits, rules, listed = parse_splits(data.splits), CellRules.of(data), class_list(data.classes, Path(data.root))
    return read_features(Path(data.path), splits, data.seed, images_folder, data.empty, rules, listed)


def _parquet(data: DataParams, images_folder: Path | None) -> Manifest:
    from bmix.sources.label_cells import CellRules
    from bmix.sources.parquet.read import read_parquet
    from bmix.sources.split_map import parse_splits

    # What is written is looked at afterwards, as all images are.
    look = images_folder is None and data.unreadable == "stop"
    splits, rules, path, root = parse_splits(data.splits), CellRules.of(data), Path(data.path), Path(data.root)
    return read_parquet(path, root, data.seed, images_folder, splits, rules, data.classes, look)


def _refuse_missing_root(data: DataParams) -> None:
    if not Path(data.root).is_dir():
        raise InputError(
            "data.root", f"{data.root} is not a folder", "the folder that holds the images", "correct data.root"
        )


SOURCES = {
    "digits": Source("scenes of handwritten digits, composed by a recipe", _digits, makes_images=True),
    "table": Source("a CSV, TSV, parquet or JSONL with a row per image", _table, reads_cells=True),
    "voc": Source("PASCAL VOC's layout", _voc, annotates_objects=True),
    "coco": Source("COCO's instances JSON", _coco, annotates_objects=True),
    "deepfashion": Source("DeepFashion's attributes", _deepfashion),
    "folder": Source("a folder per class", _folder),
    "parquet": Source(
        "parquet files that hold the pictures, as Hugging Face writes them",
        _parquet,
        makes_images=True,
        reads_cells=True,
    ),
    "features": Source(
        "an .npz or .parquet of numbers, a row per instance", _features, holds_features=True, reads_cells=True
    ),
}
