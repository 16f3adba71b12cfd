"""From params to a verified manifest, whichever source the data has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bmix.data.manifest import COLUMNS, Manifest, validate
from bmix.sources.screening import drop_empty, screen_overlap
from bmix.sources.split_map import parse_splits
from bmix.sources.verify import verify
from bmix.support.errors import InputError

if TYPE_CHECKING:
    from bmix.params import DataParams


def prepare(data: DataParams, images_folder: Path, memo: Path | None = None) -> Manifest:
    """The manifest of the data that params name, valid and with the digest of every image.

    images_folder: where a source that makes its images (digits, features) writes them; untouched by the others.
    memo: a file that keeps the digests of images by path, size and time of change; what is unchanged is not read again.
    Of images that are made it is neither read nor written.
    Raises InputError for whatever cannot be used.
    """
    manifest = read(data, images_folder)
    if data.source != "features":
        made = data.source == "digits"
        root = images_folder if made else Path(data.root)
        # Images made just now are read in any case, and would push those of other data out of the memo.
        memo = None if made else memo
        manifest = verify(manifest, root, data.path, unreadable=data.unreadable, memo=memo)
        validate(manifest, data.path)
    manifest = screen_overlap(manifest, data.path, data.overlap)
    return Manifest(manifest.frame.reset_index(drop=True), manifest.classes, manifest.notes)


def read(data: DataParams, images_folder: Path | None = None) -> Manifest:
    """The manifest of the data that params name, valid, before its images are looked at.

    images_folder: None where a source that makes its images shall not write them.
    """
    manifest = _READERS[data.source](data, images_folder)
    # Features are left out as they are read: rows of the file are rows of the manifest.
    if data.empty == "drop" and data.source != "features":
        manifest = drop_empty(manifest)
    validate(manifest, data.path)
    return manifest


def refuse_missing_root(data: DataParams) -> None:
    """InputError where the folder of the images is not there."""
    if not Path(data.root).is_dir():
        raise InputError(
            "data.root", f"{data.root} is not a folder", "the folder that holds the images", "correct data.root"
        )


def _digits(data: DataParams, images_folder: Path | None) -> Manifest:
    from bmix.sources.digits import compose

    if images_folder is None:
        raise ValueError("the scenes are made in a folder")
    frame, classes = compose(Path(data.path), data.seed, data.image_size, images_folder)
    return Manifest(frame.assign(digest="")[COLUMNS], classes)


def _table(data: DataParams, _images_folder: Path | None) -> Manifest:
    from bmix.sources.table.read import read_table

    refuse_missing_root(data)
    return read_table(Path(data.path), Path(data.root), data.seed, parse_splits(data.splits))


def _voc(data: DataParams, _images_folder: Path | None) -> Manifest:
    from bmix.sources.voc import read_voc

    refuse_missing_root(data)
    return read_voc(Path(data.path), Path(data.root), parse_splits(data.splits), data.difficult)


def _coco(data: DataParams, _images_folder: Path | None) -> Manifest:
    from bmix.sources.coco.read import read_coco

    refuse_missing_root(data)
    return read_coco(Path(data.path), Path(data.root), parse_splits(data.splits), data.crowd)


def _deepfashion(data: DataParams, _images_folder: Path | None) -> Manifest:
    from bmix.sources.deepfashion.read import read_deepfashion

    refuse_missing_root(data)
    return read_deepfashion(Path(data.path), Path(data.root), parse_splits(data.splits))


def _folder(data: DataParams, _images_folder: Path | None) -> Manifest:
    from bmix.sources.folder import read_folder

    refuse_missing_root(data)
    return read_folder(Path(data.path), Path(data.root), parse_splits(data.splits), data.seed)


def _features(data: DataParams, images_folder: Path | None) -> Manifest:
    from bmix.sources.features.read import read_features

    return read_features(Path(data.path), parse_splits(data.splits), data.seed, images_folder, data.empty)


_READERS: dict[str, Callable[[DataParams, Path | None], Manifest]] = {
    "digits": _digits,
    "table": _table,
    "voc": _voc,
    "coco": _coco,
    "deepfashion": _deepfashion,
    "folder": _folder,
    "features": _features,
}
