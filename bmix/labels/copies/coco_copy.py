"""COCO's JSON with corrected labels; every entry that nothing changes is as it was, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bmix.labels.copies.edits import Edits
from bmix.sources.coco.file import CocoFile
from bmix.sources.column_names import REVIEWED
from bmix.support.errors import InputError
from bmix.support.files import replaced

_DECODER = json.JSONDecoder()
_BLANK = " \t\r\n"


def copy_coco(path: Path, edits: Edits, output: Path, prefix: str = "") -> None:
    """Write the file anew. A label that goes takes all annotations of its category on the image with it; one that comes
    is an annotation whose box is the whole image, without a segmentation.

    prefix: what the run put before the ids of this file. Edits of images that are not in the file are passed over.
    InputError for a label that comes and whose category the file does not have.
    """
    text = path.read_text(encoding="utf-8-sig")
    file = CocoFile.read(path)
    image_ids, _ = file.images()
    edits = _of_file(edits, image_ids, prefix)
    number_of = {name: number for number, name in file.categories().items()}
    raw_category = {str(entry["id"]): entry["id"] for entry in file.content["categories"]}
    entry_of = dict(zip(image_ids, file.content["images"], strict=True))
    if unknown := {n for own in edits.targets.values() for n in own} - set(number_of):
        found = f'has no category "{min(unknown)}", which was corrected on one of its images'
        raise InputError(str(path), found, "the categories of all files in each of them", "add it to its categories")
    gone = {(id_, number_of[n]) for id_, own in edits.targets.items() for n, value in own.items() if not value}
    coming = _coming(edits, entry_of, {n: raw_category[k] for n, k in number_of.items()}, file.content["annotations"])

    def annotation(entry: Any, raw: str) -> str | None:
        return None if (str(entry["image_id"]), str(entry["category_id"])) in gone else raw

    def image(entry: Any, raw: str) -> str | None:
        answers = edits.reviewed.get(str(entry["id"]), {})
        return json.dumps({**entry, REVIEWED: {**entry.get(REVIEWED, {}), **answers}}) if answers else raw

    parts, end = [], 0
    for key, start, stop in _members(text):
        if key in ("annotations", "images"):
            change, added = (annotation, coming) if key == "annotations" else (image, [])
            parts += [text[end:start], _edited(text, start, change, added)]
            end = stop
    with replaced(output) as temporary:
        temporary.write_text("".join([*parts, text[end:]]), encoding="utf-8", newline="")


def _of_file(edits: Edits, image_ids: list[str], prefix: str) -> Edits:
    """The edits of a file's images, by the ids that the file has."""
    known = {f"{prefix}{id_}": id_ for id_ in image_ids}

    def own(values: Mapping[str, Any]) -> dict[str, Any]:
        return {known[id_]: value for id_, value in values.items() if id_ in known}

    return replace(edits, targets=own(edits.targets), reviewed=own(edits.reviewed))


def _coming(
    edits: Edits, entry_of: Mapping[str, Any], category: Mapping[str, Any], annotations: list[dict[str, Any]]
) -> list[str]:
    numbers = [entry["id"] for entry in annotations if type(entry.get("id")) is int]
    number, found = max(numbers, default=0), []
    for id_, own in edits.targets.items():
        for name in (name for name, value in own.items() if value):
            number += 1
            image = entry_of[id_]
            width, height = image.get("width", 0), image.get("height", 0)
            entry = {"id": number, "image_id": image["id"], "category_id": category[name], "iscrowd": 0}
            found.append(json.dumps({**entry, "bbox": [0, 0, width, height], "area": width * height}))
    return found


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in _BLANK:
        place += 1
    return place


def _members(text: str) -> Iterator[tuple[str, int, int]]:
    """The keys of a JSON object, and where the value of each stands."""
    place = _skip(text, _skip(text, 0) + 1)
    while text[place] != "}":
        key, place = _DECODER.raw_decode(text, place)
        start = _skip(text, _skip(text, place) + 1)
        _, stop = _DECODER.raw_decode(text, start)
        yield key, start, stop
        place = _skip(text, stop)
        if text[place] == ",":
            place = _skip(text, place + 1)


def _edited(text: str, start: int, change: Any, added: list[str]) -> str:
    """A JSON list that stands at `start`, its entries kept, changed or left out, and others added."""
    place = _skip(text, start + 1)
    kept: list[str] = []
    lead = text[start + 1 : place]
    gap, tail = ", ", ""
    while text[place] != "]":
        entry, stop = _DECODER.raw_decode(text, place)
        raw = change(entry, text[place:stop])
        if raw is not None:
            kept.append(raw)
        after = _skip(text, stop)
        if text[after] == ",":
            following = _skip(text, after + 1)
            gap = text[stop:following]
            place = following
        else:
            place, tail = after, text[stop:after]
    return "[" + lead + gap.join([*kept, *added]) + (tail if kept or added else "") + "]"
