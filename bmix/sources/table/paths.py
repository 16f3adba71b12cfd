"""Paths of images as tables give them: without a suffix, in other letters, or from a folder further up."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from bmix.sources.image_names import is_image_name
from bmix.support.errors import InputError

LOOKED_AT = 50


def found_paths(paths: pd.Series, root: Path) -> tuple[pd.Series, str]:
    """The paths as the files below root are called, and a note; unchanged where the first ones are files as they stand.

    A name without the suffix of an image gets that of the only such file; a name gets the letters of the only file that
    differs from it in case alone. What is not found stays, and is refused when the images are looked at.
    InputError if the first paths are files only from another folder than root.
    """
    sample = list(dict.fromkeys(paths.iloc[:LOOKED_AT].tolist()))
    if not sample or all(_is_file(root / path) for path in sample):
        return paths, ""
    _refuse_other_root(sample, root)
    if not any(_may_be_completed(root, path) for path in sample):
        return paths, ""
    exact, by_key = _files(root)
    changed: dict[str, str] = {}
    for path in paths.unique().tolist():
        if path not in exact and (names := by_key.get(path.lower(), by_key.get(f"{path}.".lower(), []))):
            if len(names) > 1:
                raise InputError(
                    "data.root", f'"{path}" may be {names[0]} or {names[1]}', "one of them", "write the name in full"
                )
            changed[path] = names[0]
    example = next(iter(changed.items()), None)
    if example is None:
        return paths, ""
    note = f'{len(changed)} names completed by what the files are called, e.g. "{example[0]}" is {example[1]}'
    return pd.Series(np.array([changed.get(path, path) for path in paths.tolist()], object), index=paths.index), note


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        # A name that is too long for the file system, or that none has.
        return False


def _may_be_completed(root: Path, path: str) -> bool:
    """Whether a file in the same folder has this name up to the suffix, or to the case of letters."""
    name = path.rpartition("/")[2].lower()
    try:
        with os.scandir((root / path).parent) as entries:
            return any(_key(entry.name) in (name, f"{name}.") or entry.name.lower() == name for entry in entries)
    except (OSError, ValueError):
        return False


def _key(name: str) -> str:
    """A file's name in small letters, up to and with the dot of its suffix."""
    return name[: name.rfind(".") + 1].lower()


def _files(root: Path) -> tuple[set[str], dict[str, list[str]]]:
    """The images below root by path; and by path in small letters, with the suffix and, up to the dot, without."""
    exact: set[str] = set()
    by_key: dict[str, list[str]] = {}
    for folder, folders, names in os.walk(root):
        folders.sort()
        prefix = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in sorted(names):
            if is_image_name(name):
                path = name if prefix == "." else f"{prefix}/{name}"
                exact.add(path)
                by_key.setdefault(path.lower(), []).append(path)
                by_key.setdefault(path[: path.rfind(".") + 1].lower(), []).append(path)
    return exact, by_key


def _refuse_other_root(sample: list[str], root: Path) -> None:
    """InputError if none of the first paths is below root, and all are below the folder around it."""
    around = root.parent if root.name else root.resolve().parent
    if any(_is_file(root / path) for path in sample) or not all(_is_file(around / path) for path in sample):
        return
    if any(path.startswith(("/", "..")) for path in sample):
        return
    raise InputError(
        "data.root",
        f"no file {root / sample[0]}, but {around / sample[0]}: the paths start at the folder around {root}",
        "the folder that the paths start from",
        f"set data.root to {around}",
    )
