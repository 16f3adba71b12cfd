"""Data that a stage would refuse is refused before any stage runs, and what was found good is remembered."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bmix
from bmix.noise.checks import check_keeps_one_class, noise_matrix
from bmix.pseudo.check import check_pseudo
from bmix.sources.provenance import read_review
from bmix.support.errors import InputError, nearest
from bmix.support.files import read_json, write_json

if TYPE_CHECKING:
    from bmix.data.manifest import Manifest
    from bmix.params import Params


def check_data(
    params: Params, memo: Path | None = None, digests: Path | None = None, needs_truth: bool = False
) -> list[str]:
    """Refuse the data that `prepare` and `noise` would refuse, and an `evaluate.split` without images.

    memo: a file that remembers a success, by the params and by path, size and time of change of every file below
    data.path and data.root; while it holds, no file is opened. digests: the memo of `verify`, which `prepare` goes on
    with. None: nothing is remembered. needs_truth: data whose true labels nobody knows are refused too. Images that
    `prepare` makes are not made.
    Returns what was understood of the data, line by line. Raises InputError.
    """
    if params.single_label:
        check_keeps_one_class(params.noise.kind)
    read_review(Path(params.data.path))
    # Before the files are read: one that is edited meanwhile must not pass for checked.
    state = _state(params)
    lines, has_truth = _known(memo, state) or _examined(params, memo, digests, state)
    if needs_truth and not has_truth:
        from bmix.recipes import unknown_truth

        raise unknown_truth(params.training.recipe)
    return lines


def _examined(params: Params, memo: Path | None, digests: Path | None, state: str) -> tuple[list[str], bool]:
    """What was understood of the data, and whether their true labels are known."""
    from bmix.data.noisy import is_truth_known, refuse_two_truths
    from bmix.data.single_label import check_one_class
    from bmix.sources.examine import examine

    def accept(manifest: Manifest) -> None:
        _refuse_missing_split(manifest.splits(), params.evaluate.split, params.data.path)
        _check_classes(params, manifest.classes)
        check_pseudo(params, manifest.splits(), params.data.path)
        refuse_two_truths(manifest, params.noise.kind)
        if params.single_label:
            check_one_class(manifest, params.data.path)

    manifest, reading = examine(params.data, memo=digests, accept=accept)
    has_truth = is_truth_known(manifest, params.noise.kind)
    if memo is not None:
        remember(memo, {"of": state, "reading": reading.lines, "has_truth": has_truth})
    return list(reading.lines), has_truth


def _known(memo: Path | None, state: str) -> tuple[list[str], bool] | None:
    """The same of data in this state, where it was found good."""
    match None if memo is None else remembered(memo):
        case {"of": known, "reading": [*lines], "has_truth": bool(has_truth)} if known == state:
            return [str(line) for line in lines], has_truth
    return None


def _refuse_missing_split(present: list[str], split: str, where: str) -> None:
    if split not in present:
        others = [name for name in present if name not in ("train", "unlabelled")]
        raise InputError(
            "evaluate.split",
            f'split "{split}" has no image in {where}',
            f"a split with images: {', '.join(others) or 'there is none beside train'}",
            f"set evaluate.split to {others[0] if len(others) == 1 else 'one of them'}.{nearest(split, others)}"
            if others
            else "give some images the split val or test",
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
    noise_matrix(params.noise.kind, params.noise.rate, path, classes)


def _state(params: Params) -> str:
    """A digest of the params and of each file's path, size and time of change."""
    settings = [
        bmix.__version__,
        params.data.model_dump(),
        params.noise.model_dump(),
        [params.model.task, params.model.head, params.model.queries],
        params.evaluate.split,
        [params.pseudo.use, params.training.epochs <= params.training.warmup_epochs],
        str(Path.cwd()),
    ]
    places = [params.data.path, params.data.root, params.noise.matrix]
    return places_digest(places, json.dumps(settings, sort_keys=True))


def places_digest(places: Iterable[str], settings: str = "") -> str:
    """32 hex digits of a text and of the path, size and time of change of each file that is, or lies below, a place."""
    digest = hashlib.blake2b(settings.encode(), digest_size=16)
    for place in dict.fromkeys(places):
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
