"""Data that a stage would refuse is refused before any stage runs, and what was found good is remembered."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bmix
from bmix.support.errors import InputError, nearest
from bmix.support.files import read_json, write_json

if TYPE_CHECKING:
    from bmix.params import Params


def check_data(params: Params, memo: Path | None = None, digests: Path | None = None) -> None:
    """Refuse the data that `prepare` and `noise` would refuse, and an `evaluate.split` without images.

    memo: a file that remembers a success, by the params and by path, size and time of change of every file below
    data.path and data.root; while it holds, no file is opened. digests: the memo of `verify`, which `prepare` goes on
    with. None: nothing is remembered. Of digits only the recipe is read. Raises InputError.
    """
    data, split = params.data, params.evaluate.split
    if data.source == "digits":
        from bmix.sources.digits import CLASSES, check_recipe
        from bmix.sources.registry import refuse_missing_root

        # The scenes are composed elsewhere, but DVC refuses to run a stage of which a dependency does not exist.
        refuse_missing_root(data)
        recipe = check_recipe(Path(data.path))
        _refuse_missing_split(list(recipe.scenes.model_dump(by_alias=True)), split, data.path)
        _check_classes(params, CLASSES)
        return
    # Before the files are read: one that is edited meanwhile must not pass for checked.
    state = _state(params)
    if memo is not None and remembered(memo) == state:
        return
    from bmix.data.manifest import validate
    from bmix.sources.registry import read
    from bmix.sources.screening import screen_overlap
    from bmix.sources.verify import verify

    manifest = read(data)
    _refuse_missing_split(manifest.splits(), split, data.path)
    _check_classes(params, manifest.classes)
    if data.source != "features":
        manifest = verify(manifest, Path(data.root), data.path, unreadable=data.unreadable, memo=digests)
        # What was skipped may have been the last image of a class or a split.
        validate(manifest, data.path)
        _refuse_missing_split(manifest.splits(), split, data.path)
    screen_overlap(manifest, data.path, data.overlap)
    _refuse_lone_image(len(manifest.rows("train")), data.path)
    if memo is not None:
        remember(memo, state)


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


def _refuse_lone_image(images: int, where: str) -> None:
    if images == 1:
        raise InputError(
            where,
            "one image in split train",
            "two at least: networks with batch norm cannot train on one",
            'give further images the split "train"',
        )


def _check_classes(params: Params, classes: list[str]) -> None:
    """Refuse params that do not fit the number or the names of the classes."""
    queries = params.model.queries
    if params.model.head == "decoder" and queries > len(classes):
        raise InputError(
            "params.yaml, model.queries",
            f"{queries}, and {params.data.path} has {len(classes)} classes",
            f"at most {len(classes)}, or 0 for one query per class",
            "set model.queries to 0",
        )
    _check_noise(params, classes)


def _check_noise(params: Params, classes: list[str]) -> None:
    path = Path(params.noise.matrix)
    if not path.is_file():
        raise InputError(
            "noise.matrix", f"{path} is not a file", "a CSV, which DVC tracks whatever noise.kind is", "correct it"
        )
    if params.noise.kind == "class-dependent" or len(classes) < 2:
        from bmix.noise.matrix import noise_matrix

        noise_matrix(params.noise, classes)


def _state(params: Params) -> str:
    """A digest of the params and of each file's path, size and time of change."""
    settings = [
        bmix.__version__,
        params.data.model_dump(),
        params.noise.model_dump(),
        [params.model.head, params.model.queries],
        params.evaluate.split,
        str(Path.cwd()),
    ]
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16)
    for place in dict.fromkeys([params.data.path, params.data.root, params.noise.matrix]):
        for path in _files(place):
            try:
                status = Path(path).stat()
                digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode(errors="surrogateescape"))
            except OSError:
                digest.update(f"{path}\0absent\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _files(place: str) -> Iterator[str]:
    """The file, or every file below the folder in a fixed order."""
    if not Path(place).is_dir():
        yield place
        return
    for folder, folders, names in os.walk(place, followlinks=True):
        folders.sort()
        for name in sorted(names):
            yield f"{folder}/{name}"


def remembered(memo: Path) -> Any:
    """What was noted as good, None where there is no memo that can be read."""
    try:
        return read_json(memo)["state"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(memo: Path, state: Any) -> None:
    """Note what was found good; where that cannot be written it is as good, and looked at again the next time."""
    with contextlib.suppress(OSError):
        write_json(memo, {"state": state})
