"""Which image file belongs to an annotation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from bmix.data.manifest import quoted
from bmix.sources.image_names import is_image_name
from bmix.support.errors import InputError


class Pictures:
    """The image files at any depth below a folder, found by the name of their annotation.

    root: holds the folder; what is found is a path below it. count: how many there are.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        below = folder.resolve().relative_to(root.resolve()).as_posix()
        self._prefix = "" if below == "." else f"{below}/"
        self._files = set(_image_files(folder))

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """The files by their path without suffix."""
        return self._grouped(lambda path: str(path.with_suffix("")))

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        """The files by their name without folder and suffix, in small letters."""
        return self._grouped(lambda path: path.stem.casefold())

    def _grouped(self, key: Callable[[Path], str]) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for file in sorted(self._files):
            groups.setdefault(key(Path(file)), []).append(file)
        return groups

    @property
    def count(self) -> int:
        """How many image files there are."""
        return len(self._files)

    def find(self, name: str, filename: str, where: str) -> str:
        """The path below the root of the image of annotation `name`, which calls it `filename`.

        NAME.jpg; else NAME with another suffix; else a file of that name or of the one in the annotation, in capitals
        or in another folder. Where there is none, NAME.jpg. Raises InputError if several files fit.
        """
        return self._prefix + self._below(name, filename, where)

    def _below(self, name: str, filename: str, where: str) -> str:
        if f"{name}.jpg" in self._files:
            return f"{name}.jpg"
        # Annotations hold paths of the machine that they were made on.
        own = filename.replace("\\", "/").rpartition("/")[2]
        fitting = self._by_name.get(name, [])
        if not fitting:
            fitting = self._by_stem.get(Path(name).name.casefold(), []) or self._by_stem.get(
                Path(own).stem.casefold(), []
            )
        if len(fitting) > 1:
            fitting = [file for file in fitting if Path(file).name == own] or fitting
        if len(fitting) > 1:
            raise InputError(
                where,
                f"{quoted(fitting)} in {self._folder} could be its image",
                "one image for each annotation",
                "rename or remove the others",
            )
        return fitting[0] if fitting else f"{name}.jpg"


def _image_files(folder: Path) -> Iterator[str]:
    """The paths of the image files below a folder, hidden folders left out."""
    for current, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(current).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        for name in names:
            if is_image_name(name) and not name.startswith("."):
                yield prefix + name
