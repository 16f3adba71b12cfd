"""A tiny MS-COCO in the layout and with the keys of the published downloads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.tiny import HEIGHT, WIDTH, box_of, draw_columns, write_image

# Ids have gaps, as COCO's have, and the file lists them in another order than theirs.
CATEGORIES = {18: "dog", 1: "person", 3: "car", 13: "stop sign", 17: "cat", 44: "bottle", 90: "toothbrush", 62: "chair"}
CLASSES = [CATEGORIES[number] for number in sorted(CATEGORIES)]


def write_coco(folder: Path, parts: Mapping[str, int] | None = None, unlabelled: int = 0, seed: int = 0) -> Path:
    """`folder/annotations/instances_PART.json` and `folder/PART/*.jpg` for each part; the path of `annotations`.

    parts: how many images each has; by default 32 of train2014 and 16 of val2014. Their ids run on from part to part.
    unlabelled: images of a part unlabeled with the year of the first part, in an `image_info` file. Class k is shown by
    image i where i mod 8 = k, and at times by others; every eighth image has its first class as a crowd too.
    """
    parts = {"train2014": 32, "val2014": 16} if parts is None else parts
    rng = np.random.default_rng(seed)
    number = 9
    for part, count in parts.items():
        content = _content(part)
        content["annotations"], content["categories"] = (
            [],
            [{"supercategory": "thing", "id": category, "name": name} for category, name in CATEGORIES.items()],
        )
        for columns in draw_columns(count, len(CATEGORIES), rng):
            image = _image(part, number := number + 7)
            write_image(folder / part / image["file_name"], columns, rng)
            content["images"].append(image)
            annotations: list[dict[str, Any]] = content["annotations"]
            for column in columns:
                annotations.append(_annotation(len(annotations) + 1, image["id"], column))
            if len(content["images"]) % 8 == 0:
                annotations.append(_crowd(len(annotations) + 1, image["id"], columns[0]))
        write_instances(folder / "annotations", part, content)
    if unlabelled:
        part = "unlabeled" + next(iter(parts)).lstrip("trainvles")
        content = _content(part)
        for columns in draw_columns(unlabelled, len(CATEGORIES), rng):
            image = _image(part, number := number + 7)
            write_image(folder / part / image["file_name"], columns, rng)
            content["images"].append(image)
        (folder / "annotations" / f"image_info_{part}.json").write_text(json.dumps(content))
    return folder / "annotations"


def write_instances(annotations: Path, part: str, content: Any) -> Path:
    """Write `instances_PART.json` on one line, as COCO does."""
    annotations.mkdir(parents=True, exist_ok=True)
    path = annotations / f"instances_{part}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _content(part: str) -> dict[str, Any]:
    return {
        "info": {"description": "tiny", "version": "1.0", "year": 2014, "contributor": "", "date_created": ""},
        "images": [],
        "licenses": [{"url": "http://creativecommons.org/licenses/by/2.0/", "id": 4, "name": "Attribution License"}],
    }


def _image(part: str, number: int) -> dict[str, Any]:
    prefix = f"COCO_{part}_" if part.endswith("2014") else ""
    return {
        "license": 4,
        "file_name": f"{prefix}{number:012d}.jpg",
        "coco_url": "",
        "height": HEIGHT,
        "width": WIDTH,
        "date_captured": "2013-11-14 11:18:45",
        "flickr_url": "",
        "id": number,
    }


def _annotation(number: int, image: int, column: int) -> dict[str, Any]:
    left, top, right, bottom = box_of(int(column))
    return {
        "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
        "area": float((right - left) * (bottom - top)),
        "iscrowd": 0,
        "image_id": image,
        "bbox": [left, top, right - left, bottom - top],
        "category_id": sorted(CATEGORIES)[column],
        "id": number,
    }


def _crowd(number: int, image: int, column: int) -> dict[str, Any]:
    mask = {"counts": [0, 10, WIDTH * HEIGHT - 10], "size": [HEIGHT, WIDTH]}
    return _annotation(number, image, column) | {"segmentation": mask, "iscrowd": 1}
