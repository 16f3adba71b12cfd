"""Corrected labels as COCO's instances: every label an annotation, whose box is the whole image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from bmix.labels.formats.images import LabelledImages
from bmix.support.errors import InputError
from bmix.support.files import write_json


def write_coco(images: LabelledImages, output: Path) -> None:
    """One JSON of all splits; images have `id` (a number), `file_name`, `width`, `height`, `split` and `bmix_id`."""
    images.need_corrections("coco")
    root = images.need_files("coco")
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (row, own) in enumerate(
        zip(images.frame.itertuples(index=False), images.numbers("labels"), strict=True), 1
    ):
        width, height = _size(root / str(row.file))
        names = {"file_name": row.file, "split": row.split, "bmix_id": row.id}
        entries.append({"id": number, "width": width, "height": height, **names})
        for column in own:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": column + 1,
                    "iscrowd": 0,
                    "bbox": [0, 0, width, height],
                    "area": width * height,
                }
            )
    categories = [{"id": column + 1, "name": name} for name, column in images.column_of.items()]
    write_json(output, {"images": entries, "categories": categories, "annotations": annotations})


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as picture:
            return picture.size
    except OSError as error:
        raise InputError(str(path), f"not readable as an image: {error}", "an image file", "put it there") from error
