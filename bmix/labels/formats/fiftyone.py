"""A folder in the format of FiftyOne's FiftyOneImageClassificationDataset, several labels an image."""

from __future__ import annotations

from pathlib import Path

from bmix.labels.formats.folders import write_note
from bmix.labels.formats.images import LabelledImages
from bmix.support.files import replaced_folder, write_json


def write_fiftyone(images: LabelledImages, output: Path) -> None:
    """`data.json` (id -> image file), `labels.json` (the given labels), and `suggested.json` or `corrected.json`.

    Each of the latter two has the class names, and by id the list of the classes' numbers.
    """
    root = images.need_files("fiftyone").resolve()
    ids = images.frame["id"].tolist()
    other = "corrected" if images.corrected else "suggested"
    with replaced_folder(output) as folder:
        write_json(
            folder / "data.json", {id_: str(root / file) for id_, file in zip(ids, images.frame["file"], strict=True)}
        )
        for name, column in (("labels", "given"), (other, "labels")):
            targets = dict(zip(ids, images.numbers(column), strict=True))
            write_json(folder / f"{name}.json", {"classes": images.run.classes, "labels": targets})
        write_note(folder, "fiftyone")
