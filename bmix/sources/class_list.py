"""The list of classes that the user gave: in `data.classes`, or in a file of names in data.root."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from bmix.support.errors import InputError, nearest, quoted

AUTO = "auto"
CLASSES_FILE = "classes.txt"
SUFFIXES = (".txt", ".names", ".json")


@dataclass(frozen=True)
class ClassList:
    """The names of the classes in column order, and where they were listed."""

    names: list[str]
    origin: str

    @property
    def note(self) -> str:
        """How a source notes where its classes come from."""
        return f"from {self.origin}"

    def refuse_missing(self, names: Collection[str], what: str) -> None:
        """InputError for a class that is not among the names that a source has; `what`: what those are of."""
        for name in self.names:
            if name not in names:
                remedy = f"correct it.{nearest(name, names)}"
                raise InputError(self.origin, f'"{name}" is not {what}', f"one of {quoted(names)}", remedy)


def class_list(classes: str, root: Path, look: bool = True) -> ClassList | None:
    """The classes that `data.classes` lists; None if it is `auto` and there is no classes.txt.

    classes: `auto`: the lines of classes.txt in data.root, where there is one and `look` is set; a file in data.root,
    with a name per line or a JSON list of names; or the names themselves, joined by commas.
    Raises InputError for a file that is missing, unreadable or outside data.root, which DVC watches, for an empty list,
    and for a name that is duplicated.
    """
    if classes.strip() == AUTO:
        own = root / CLASSES_FILE
        return _from_file(own, CLASSES_FILE) if look and own.is_file() else None
    path = _place(classes.strip(), root)
    if path is not None:
        return _from_file(path, str(path))
    names = [name.strip() for name in classes.split(",")]
    if "" in names:
        raise InputError("data.classes", f'"{classes}"', 'names joined by commas, e.g. "cat,dog"', "remove a comma")
    _refuse_duplicates(names, [f"data.classes, name {number}" for number in range(1, len(names) + 1)])
    return ClassList(names, "data.classes")


def _place(text: str, root: Path) -> Path | None:
    """The file that the text names, as it stands or below root; None if it is no name of a file."""
    if not text.lower().endswith(SUFFIXES) or "," in text:
        return None
    places = [place for place in (Path(text), root / text) if place.is_file()]
    if not places:
        raise InputError(
            "data.classes", f"{text} is not a file", "a file of class names in data.root", "correct data.classes"
        )
    for place in places:
        if place.resolve().is_relative_to(root.resolve()):
            return place
    raise InputError(
        "data.classes",
        f"{text} is not in {root}",
        "a file in data.root, whose changes are noticed",
        f"move it into {root}, or list the names, joined by commas",
    )


def _from_file(path: Path, origin: str) -> ClassList:
    try:
        text = path.read_text(encoding="utf-8-sig")
        names, places = _json_names(text, path) if path.suffix.lower() == ".json" else _lines(text, path)
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            str(path), f"not readable: {error}", "a class per line, in UTF-8", "save it as such"
        ) from error
    if not names:
        raise InputError(str(path), "no class", "a class per line", "write the names of the classes, or remove it")
    _refuse_duplicates(names, places)
    return ClassList(names, origin)


def _lines(text: str, path: Path) -> tuple[list[str], list[str]]:
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    return [name for _, name in lines], [f"{path}, line {number}" for number, _ in lines]


def _json_names(text: str, path: Path) -> tuple[list[str], list[str]]:
    content = json.loads(text)
    if not isinstance(content, list) or not all(isinstance(name, str) and name.strip() for name in content):
        raise InputError(str(path), "no list of names", '["cat", "dog"]', "write the names as a list of texts")
    return [name.strip() for name in content], [f"{path}, name {number}" for number in range(1, len(content) + 1)]


def _refuse_duplicates(names: list[str], places: list[str]) -> None:
    first_of: dict[str, str] = {}
    for name, place in zip(names, places, strict=True):
        first = first_of.setdefault(name, place)
        if first != place:
            found = f"{quoted([name])} is duplicated, first in {first.rpartition(', ')[2]}"
            raise InputError(place, found, "each class once", "remove one")
