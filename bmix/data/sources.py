"""From params to a verified manifest, whichever source the data has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import bmix
from bmix.data.manifest import COLUMNS, Manifest, validate
from bmix.data.table import CLASSES_FILE, read_table
from bmix.data.verify import verify
from bmix.data.voc import SPLITS, read_voc, year_folder
from bmix.errors import InputError, nearest
from bmix.files import read_json, write_json

if TYPE_CHECKING:
    from bmix.params import DataParams, Params


def prepare(data: DataParams, images_folder: Path) -> Manifest:
    """The manifest of the data that params name, valid and with the digest of every image.

    images_folder: where a source that makes its images (digits) writes them; untouched by the others.
    Raises InputError for whatever `check` refuses.
    """
    if data.source == "digits":
        from bmix.data.digits import compose

        frame, classes = compose(Path(data.path), data.seed, data.image_size, images_folder)
        manifest, root = Manifest(frame.assign(digest="")[COLUMNS], classes), images_folder
    else:
        manifest, root = _read(data), Path(data.root)
    validate(manifest, data.path)
    verified = verify(manifest, root, data.path)
    return Manifest(verified.frame.reset_index(drop=True), verified.classes, verified.notes)


def check(params: Params, memo: Path | None = None) -> None:
    """Refuse, before any stage runs, the data that `prepare` would refuse, and an `evaluate.split` without images.

    memo: a file that remembers a success, by the params and by path, size and time of change of every file looked at;
    while it holds, no file is opened. None: nothing is remembered. Of digits only the recipe is read.
    Raises InputError.
    """
    data, split = params.data, params.evaluate.split
    if data.source == "digits":
        from bmix.data.digits import check_recipe

        # The scenes are composed elsewhere, but DVC refuses to run a stage of which a dependency does not exist.
        _refuse_missing_root(data)
        recipe = check_recipe(Path(data.path))
        _refuse_missing_split(list(recipe.scenes.model_dump(by_alias=True)), split, data.path)
        return
    if memo is not None and _remembered(params, memo):
        return
    manifest = _read(data)
    validate(manifest, data.path)
    _refuse_missing_split(manifest.splits(), split, data.path)
    files = _files(data, manifest)
    # Before the images are decoded: one that is edited meanwhile must not pass for checked.
    state = _state(params, files)
    verify(manifest, Path(data.root), data.path)
    if memo is not None:
        write_json(memo, {"state": state, "files": files})


def _read(data: DataParams) -> Manifest:
    _refuse_missing_root(data)
    path, root = Path(data.path), Path(data.root)
    return read_voc(path, root) if data.source == "voc" else read_table(path, root, data.seed)


def _refuse_missing_root(data: DataParams) -> None:
    if not Path(data.root).is_dir():
        raise InputError(
            "data.root", f"{data.root} is not a folder", "the folder that holds the images", "correct data.root"
        )


def _refuse_missing_split(present: list[str], split: str, where: str) -> None:
    if split not in present:
        others = [name for name in present if name not in ("train", "unlabelled")]
        raise InputError(
            "evaluate.split",
            f'split "{split}" has no image in {where}',
            f"a split with images: {', '.join(others) or 'there is none beside train'}",
            f"set evaluate.split to one of them.{nearest(split, others)}"
            if others
            else "give some images the split val or test",
        )


def _files(data: DataParams, manifest: Manifest) -> list[str]:
    """Every file that decides what `check` says, those included whose appearance would change it."""
    root = PurePosixPath(data.root)
    images = [str(root / path) for path in manifest.frame["path"]]
    if data.source == "table":
        return [data.path, str(root / CLASSES_FILE), *images]
    year = PurePosixPath(year_folder(Path(data.path)))
    lists = [str(year / "ImageSets" / "Main" / f"{split}.txt") for split in SPLITS]
    return [*lists, *(str(year / "Annotations" / f"{name}.xml") for name in manifest.frame["id"]), *images]


def _state(params: Params, files: Iterable[str]) -> str:
    """A digest of the params and of each file's path, size and time of change, or of its absence."""
    settings = [bmix.__version__, params.data.model_dump(), params.evaluate.split, str(Path.cwd())]
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16)
    for path in files:
        try:
            status = Path(path).stat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        except OSError:
            digest.update(f"{path}\0absent\0".encode())
    return digest.hexdigest()


def _remembered(params: Params, memo: Path) -> bool:
    try:
        remembered = read_json(memo)
        return bool(remembered["state"] == _state(params, remembered["files"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False
