"""A tiny VOCdevkit of several years with the lists of the published one, those of a single class included."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bmix.sources.voc.classes import CLASSES
from tests.helpers.tiny import draw_columns, write_annotation, write_image


def write_voc_devkit(folder: Path, train: int = 20, val: int = 20, test: int = 0, seed: int = 0) -> Path:
    """`folder/VOCdevkit` with VOC2007 and VOC2012: lists train, val, trainval and CLASS_trainval; the devkit's path.

    Each year has `train` and `val` images, and 2007 has `test` more. The names of 2012 start with 2008_, as in the
    published year. In every second image with two classes or more one is marked difficult.
    """
    rng = np.random.default_rng(seed)
    devkit = folder / "VOCdevkit"
    for year, prefix in (("VOC2007", ""), ("VOC2012", "2008_")):
        names: dict[str, list[str]] = {"train": [], "val": [], "trainval": [], "test": []}
        lines: dict[str, list[str]] = {name: [] for name in CLASSES}
        number = 0
        for split, count in (("train", train), ("val", val), ("test", test if year == "VOC2007" else 0)):
            for i, columns in enumerate(draw_columns(count, len(CLASSES), rng)):
                number += 1
                name = f"{prefix}{number:06d}"
                extra = [column for column in columns if column != i % len(CLASSES)]
                write_image(devkit / year / "JPEGImages" / f"{name}.jpg", columns, rng)
                write_annotation(devkit / year, name, columns, extra[:1] if number % 2 else [])
                names[split].append(name)
                if split != "test":
                    names["trainval"].append(name)
                    for column, class_name in enumerate(CLASSES):
                        lines[class_name].append(f"{name} {1 if column in columns else -1:2d}")
        for part, listed in {**names, **{f"{name}_trainval": lines[name] for name in CLASSES}}.items():
            if listed:
                write_list(devkit / year, part, listed)
    return devkit


def write_list(year: Path, part: str, lines: list[str]) -> Path:
    """Write `ImageSets/Main/PART.txt`."""
    path = year / "ImageSets" / "Main" / f"{part}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
