"""One annotation file of MS-COCO: checked key by key, and refused by entry."""

from __future__ import annotations

import contextlib
import gc
import io
import json
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmix.data.manifest import quoted
from bmix.sources.coco.json_text import kind_of, read_json_object
from bmix.sources.label_cells.reviewed import parse_answers
from bmix.support.errors import InputError

Entry = dict[str, Any]


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """No search for reference cycles: among millions of new objects that hold none it takes most of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass(frozen=True)
class CocoFile:
    """The content of a JSON file with COCO's images and, for labelled ones, categories and annotations.

    Ids are numbers or texts; all that this class gives are texts. path: its place, for error messages. content: its
    JSON object, of which nothing was checked yet. has_no_numbers: NaN or Infinity were read as null.
    """

    path: Path
    content: Entry
    has_no_numbers: bool = False

    @classmethod
    def read(cls, path: Path) -> CocoFile:
        """Read one file; InputError if it is no JSON object in UTF-8."""
        return cls(path, *read_json_object(path))

    def images(self) -> tuple[list[str], list[str]]:
        """Id and file name of every image, in file order, unchanged; an id may be duplicated."""
        entries = self._entries("images")
        return self._ids(entries, "images", "id"), self._texts(entries, "images", "file_name")

    def reviewed(self) -> list[dict[str, str]]:
        """What people said of the labels of every image, in file order, by class; InputError if it is not that."""
        entries = self.content["images"]
        answers = [entry.get("reviewed", {}) for entry in entries]
        return [
            parse_answers(value, self.where("images", position)) if value else {}
            for position, value in enumerate(answers)
        ]

    def categories(self) -> dict[str, str]:
        """Category id -> name in ascending id; InputError if there is none, an id is duplicated or a name is empty."""
        entries = self._entries("categories")
        ids, names = self._ids(entries, "categories", "id"), self._texts(entries, "categories", "name")
        if not entries:
            raise InputError(f"{self.path}, categories", "an empty list", "at least one category", "unpack it anew")
        first_of: dict[str, int] = {}
        for position, (number, name) in enumerate(zip(ids, names, strict=True)):
            where = self.where("categories", position)
            if not name.strip():
                raise InputError(where, "name is empty", "a name", "correct it")
            if first_of.setdefault(number, position) != position:
                found = f"id {_shortened(entries[position]['id'])}, as in categories[{first_of[number]}]"
                raise InputError(where, found, "every id once", "remove or rename one of the two")
        return {number: names[first_of[number]] for number in in_ascending_order(ids)}

    def categories_of(self, image_ids: list[str], category_ids: Container[str], crowd: bool) -> dict[str, set[str]]:
        """Image id -> ids of the categories with an annotation there; images without annotation are left out.

        crowd: annotations of crowds count too. A missing `iscrowd` is 0, and so is null. An annotation's own id is not
        looked at.
        Raises InputError for an annotation of an image or category that is not among the given.
        """
        entries = self._entries("annotations")
        image_of = self._keys(entries, "image_id", set(image_ids), "images")
        category_of = self._keys(entries, "category_id", category_ids, "categories")
        for position, entry in enumerate(entries):
            if entry.get("iscrowd") not in (0, 1, None):
                found = f"iscrowd {_shortened(entry['iscrowd'])}"
                raise InputError(self.where("annotations", position), found, "0 or 1", "correct it")
        if {type(entry.get("id")) for entry in entries} - {int}:
            for number, entry in enumerate(entries):
                entry["id"] = number
        categories: dict[str, set[str]] = {}
        for image, own in _by_image(self.content).items():
            counted = {category_of[entry["category_id"]] for entry in own if crowd or not entry.get("iscrowd")}
            categories.setdefault(image_of[image], set()).update(counted)
        return categories

    def where(self, key: str, position: int) -> str:
        """An entry of a list, for messages: its index, and its id where it has one."""
        entry = self.content[key][position]
        number = entry.get("id") if isinstance(entry, dict) else None
        if type(number) not in (int, str):
            return f"{self.path}, {key}[{position}]"
        return f"{self.path}, {key}[{position}] (id {_shortened(number) if type(number) is str else number})"

    def _keys(self, entries: list[Entry], key: str, known: Container[str], listed: str) -> dict[Any, str]:
        """What annotations have under a key -> the id that it is; InputError for one that is not among the known."""
        values = self._values(entries, "annotations", key, "an integer or text")
        id_of = self._id_of(values, "annotations", key)
        if unknown := {value for value, text in id_of.items() if text not in known}:
            position = next(place for place, value in enumerate(values) if value in unknown)
            raise InputError(
                self.where("annotations", position),
                f"{key} {_shortened(values[position])} is not in {listed}",
                f"the id of an entry of {listed}",
                f"add it to {listed}, or remove the annotation",
            )
        return id_of

    def _entries(self, key: str) -> list[Entry]:
        """The list of objects under a key."""
        if key not in self.content:
            found = f'no key "{key}", but {quoted(self.content) or "none at all"}'
            remedy = "unpack or download it anew, or export the annotations as COCO"
            raise InputError(str(self.path), found, f'a list of objects "{key}"', remedy)
        entries = self.content[key]
        if not isinstance(entries, list):
            found = f"a JSON {kind_of(entries)}"
            raise InputError(f"{self.path}, {key}", found, "a list of objects", "unpack it anew")
        if set(map(type, entries)) - {dict}:
            position = next(place for place, entry in enumerate(entries) if not isinstance(entry, dict))
            found = f"a JSON {kind_of(entries[position])}"
            raise InputError(self.where(key, position), found, "an object", "correct or remove it")
        return entries

    def _ids(self, entries: list[Entry], listed: str, key: str) -> list[str]:
        """The id under a key of every entry, as text."""
        values = self._values(entries, listed, key, "an integer or text")
        id_of = self._id_of(values, listed, key)
        return [id_of[value] for value in values]

    def _id_of(self, values: list[Any], listed: str, key: str) -> dict[Any, str]:
        """Each value -> the id that it is, as text: 1, 1.0 and "1" are one; InputError for what is no id."""
        # The type itself, since True is an instance of int.
        kinds = set(map(type, values))
        if kinds == {int}:
            return {value: str(value) for value in set(values)}
        if kinds <= {int, float, str}:
            texts = {value: _id_text(value) for value in set(values)}
            faulty = {value for value, text in texts.items() if text is None}
            position = next((place for place, value in enumerate(values) if value in faulty), None) if faulty else None
        else:
            texts = {}
            position = next(place for place, value in enumerate(values) if type(value) not in (int, float, str))
        if position is not None:
            found = f"{key} {_shortened(values[position])}"
            raise InputError(self.where(listed, position), found, "an integer or text", "correct it")
        return {value: text for value, text in texts.items() if text is not None}

    def _texts(self, entries: list[Entry], listed: str, key: str) -> list[str]:
        """The text under a key of every entry."""
        values = self._values(entries, listed, key, "text")
        for position, value in enumerate(values):
            if type(value) is not str or not _is_encodable(value):
                found = f"{key} {_shortened(value)}"
                raise InputError(self.where(listed, position), found, "text", "correct it")
        return values

    def _values(self, entries: list[Entry], listed: str, key: str, expected: str) -> list[Any]:
        """The value under a key of every entry; InputError if one is missing."""
        try:
            return [entry[key] for entry in entries]
        except KeyError:
            position = next(place for place, entry in enumerate(entries) if key not in entry)
            found = f'no key "{key}", but {quoted(entries[position]) or "none at all"}'
            raise InputError(self.where(listed, position), found, f"{expected} under {key}", "add it") from None


def _id_text(value: int | float | str) -> str | None:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    text = str(value).strip()
    return text if text and _is_encodable(text) else None


def _is_encodable(text: str) -> bool:
    """Whether a text can be written; half of a pair of surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def in_ascending_order(ids: Iterable[str]) -> list[str]:
    """Ids that are numbers in their order, before others."""
    return sorted(ids, key=_ascending)


def _ascending(number: str) -> tuple[bool, int, str]:
    is_number = number.isascii() and number.removeprefix("-").isdigit() and len(number) < 20
    return not is_number, int(number) if is_number else 0, number


def _by_image(content: Entry) -> dict[str, list[Entry]]:
    """Image id -> annotations, through pycocotools and without what it prints."""
    # A compiled module that no other source needs.
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return dict(coco.imgToAnns)


def _shortened(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
