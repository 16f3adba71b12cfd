"""One annotation file of MS-COCO: read, checked key by key, and refused by entry."""

from __future__ import annotations

import codecs
import contextlib
import gc
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmix.data.manifest import quoted
from bmix.support.errors import InputError

Entry = dict[str, Any]
_KINDS = {int: "an integer", str: "text"}


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
    """The content of one `instances_PART.json` or `image_info_PART.json`.

    path: its place, for error messages. content: its JSON object, of which nothing was checked yet.
    """

    path: Path
    content: Entry

    @classmethod
    def read(cls, path: Path) -> CocoFile:
        """Read one file in UTF-8, with or without byte order mark; InputError where it is no JSON object."""
        # Reads the 320 MB of train2014 three times as fast as the standard library.
        import orjson

        expected, remedy = "one JSON object in UTF-8, as COCO publishes it", "unpack or download it anew"
        try:
            data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
            content = orjson.loads(data)
        except OSError as error:
            raise InputError(str(path), f"not readable: {error.strerror}", expected, remedy) from error
        except orjson.JSONDecodeError as error:
            _refuse_other_encoding(data, path, expected)
            where = f"{path}, line {error.lineno}, column {error.colno}"
            raise InputError(where, f"not readable as JSON: {error.msg}", expected, remedy) from error
        if not isinstance(content, dict):
            raise InputError(str(path), f"a JSON {_kind(content)}", expected, remedy)
        return cls(path, content)

    def images(self) -> tuple[list[int], list[str]]:
        """Id and file name of every image, in file order; an id may stand there twice."""
        entries = self._entries("images")
        ids, names = self._column(entries, "images", "id", int), self._column(entries, "images", "file_name", str)
        for position, name in enumerate(names):
            if not name or name.startswith("/"):
                fault = "is absolute" if name else "is empty"
                found = f"file_name {_shortened(name)} {fault}"
                raise InputError(self.where("images", position), found, "a path below the part's folder", "correct it")
        return ids, names

    def categories(self) -> dict[int, str]:
        """Category id -> name in ascending id; InputError where there is none, or an id or name stands there twice."""
        entries = self._entries("categories")
        ids, names = self._column(entries, "categories", "id", int), self._column(entries, "categories", "name", str)
        if not entries:
            raise InputError(f"{self.path}, categories", "an empty list", "at least one category", "unpack it anew")
        for position, name in enumerate(names):
            if not name.strip():
                raise InputError(self.where("categories", position), "name is empty", "a name", "correct it")
        for key, values in (("id", ids), ("name", names)):
            first_of: dict[Any, int] = {}
            for position, value in enumerate(values):
                if first_of.setdefault(value, position) != position:
                    raise InputError(
                        self.where("categories", position),
                        f"{key} {_shortened(value)}, as in categories[{first_of[value]}]",
                        f"every {key} once",
                        "remove or rename one of the two",
                    )
        return dict(sorted(zip(ids, names, strict=True)))

    def categories_of(self, image_ids: list[int], category_ids: Iterable[int], crowd: bool) -> dict[int, set[int]]:
        """Image id -> ids of the categories with an annotation there; images without annotation are left out.

        crowd: annotations of crowds count too. A missing `iscrowd` is 0.
        Raises InputError for an annotation of an image or category that is not among the given.
        """
        entries = self._entries("annotations")
        self._column(entries, "annotations", "id", int)
        self._refuse_unknown(entries, "image_id", set(image_ids), "images")
        self._refuse_unknown(entries, "category_id", set(category_ids), "categories")
        for position, entry in enumerate(entries):
            if entry.get("iscrowd", 0) not in (0, 1):
                found = f"iscrowd {_shortened(entry['iscrowd'])}"
                raise InputError(self.where("annotations", position), found, "0 or 1", "correct it")
        return {
            image: {entry["category_id"] for entry in found if crowd or not entry.get("iscrowd", 0)}
            for image, found in _by_image(self.content).items()
        }

    def where(self, key: str, position: int) -> str:
        """An entry of a list, for messages: its index, and its id where it has one."""
        entry = self.content[key][position]
        number = entry.get("id") if isinstance(entry, dict) else None
        return f"{self.path}, {key}[{position}]" + (f" (id {number})" if type(number) is int else "")

    def _refuse_unknown(self, entries: list[Entry], key: str, known: set[int], listed: str) -> None:
        values = self._column(entries, "annotations", key, int)
        if not known.issuperset(values):
            position = next(place for place, value in enumerate(values) if value not in known)
            raise InputError(
                self.where("annotations", position),
                f"{key} {values[position]} is not in {listed}",
                f"the id of an entry of {listed}",
                f"add it to {listed}, or remove the annotation",
            )

    def _entries(self, key: str) -> list[Entry]:
        """The list of objects under a key."""
        if key not in self.content:
            found = f'no key "{key}", but {quoted(self.content) or "none at all"}'
            raise InputError(str(self.path), found, f'a list of objects "{key}"', "unpack or download it anew")
        entries = self.content[key]
        if not isinstance(entries, list):
            found = f"a JSON {_kind(entries)}"
            raise InputError(f"{self.path}, {key}", found, "a list of objects", "unpack it anew")
        if set(map(type, entries)) - {dict}:
            position = next(place for place, entry in enumerate(entries) if not isinstance(entry, dict))
            found = f"a JSON {_kind(entries[position])}"
            raise InputError(self.where(key, position), found, "an object", "correct or remove it")
        return entries

    def _column(self, entries: list[Entry], listed: str, key: str, kind: type) -> list[Any]:
        """The value under a key of every entry; InputError where one is missing or of another type."""
        try:
            values = [entry[key] for entry in entries]
        except KeyError:
            position = next(place for place, entry in enumerate(entries) if key not in entry)
            found = f'no key "{key}", but {quoted(entries[position]) or "none at all"}'
            raise InputError(self.where(listed, position), found, f"{_KINDS[kind]} under {key}", "add it") from None
        # The type itself, since True is an instance of int.
        if set(map(type, values)) - {kind}:
            position = next(place for place, value in enumerate(values) if type(value) is not kind)
            found = f"{key} {_shortened(values[position])}"
            raise InputError(self.where(listed, position), found, _KINDS[kind], "correct it")
        return values


def _refuse_other_encoding(data: bytes, path: Path, expected: str) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"not UTF-8: byte 0x{data[error.start]:02x} at position {error.start}"
        raise InputError(str(path), found, expected, "save it in UTF-8") from error


def _by_image(content: Entry) -> dict[int, list[Entry]]:
    """Image id -> annotations, through pycocotools and without what it prints."""
    # A compiled module that no other source needs.
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return dict(coco.imgToAnns)


def _kind(value: Any) -> str:
    names = {dict: "object", list: "list", str: "text", int: "number", float: "number", bool: "boolean"}
    return names.get(type(value), "null")


def _shortened(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
