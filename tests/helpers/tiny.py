"""Tiny data sets, generated in the published layouts, whose classes can be learnt: each class is a shape of its own."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from PIL import Image, ImageDraw

from bmix.params import apply_edits
from bmix.sources.voc.classes import CLASSES

REPOSITORY = Path(__file__).parents[2]
WIDTH, HEIGHT = 64, 48
COLUMNS = 5


def write_params(folder: Path, *edits: str) -> Path:
    """The repository's params.yaml with `key=value` edits and its dvc.yaml, written into `folder`."""
    content: dict[str, Any] = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy2(REPOSITORY / "dvc.yaml", folder / "dvc.yaml")
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(apply_edits(content, list(edits)), sort_keys=False), encoding="utf-8")
    return path


def box_of(column: int) -> tuple[int, int, int, int]:
    """Where the object of a class stands: left, top, right, bottom."""
    left, top = column % COLUMNS * 12 + 2, column // COLUMNS * 12 + 1
    return left, top, left + 9, top + 9


def write_image(path: Path, columns: list[int], rng: np.random.Generator) -> None:
    """A noisy picture with one filled shape for each class column; the file's suffix is its format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(rng.integers(0, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(picture)
    for column in columns:
        colour = (80 + 40 * (column % 5), 230 - 40 * (column % 4), 100 + 50 * (column % 3))
        (draw.rectangle if column % 2 else draw.ellipse)(box_of(column), fill=colour)
    picture.save(path)


def draw_columns(count: int, classes: int, rng: np.random.Generator) -> list[list[int]]:
    """Class columns per image: image i shows class i mod `classes`, so that all occur, and at times others."""
    return [sorted({i % classes, *np.flatnonzero(rng.random(classes) < 1.2 / classes)}) for i in range(count)]


def write_table(
    folder: Path,
    images: int = 60,
    classes: tuple[str, ...] = ("bird", "cat", "dog", "fish"),
    name: str = "labels.csv",
    split: bool = True,
    seed: int = 0,
) -> Path:
    """`folder/name` (.csv or .parquet) and JPEG and PNG files in `folder/images`; the path of the table.

    With `split`, of every six images of a class the second is `val`, the third `test` and the others `train`.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for i, columns in enumerate(draw_columns(images, len(classes), rng)):
        path = f"{'ab'[i % 2]}/{i:03d}{('.jpg', '.png')[i % 2]}"
        write_image(folder / "images" / path, columns, rng)
        part = i // len(classes) % 6
        rows.append(
            {
                "path": path,
                "labels": [classes[column] for column in columns],
                "split": "val" if part == 1 else "test" if part == 2 else "train",
            }
        )
    frame = pd.DataFrame(rows if split else [{"path": row["path"], "labels": row["labels"]} for row in rows])
    table = folder / name
    if table.suffix == ".parquet":
        frame.to_parquet(table, index=False)
    else:
        frame.assign(labels=frame["labels"].map(";".join)).to_csv(table, index=False, quoting=csv.QUOTE_MINIMAL)
    return table


def write_voc(
    folder: Path, train: int = 40, val: int = 20, test: int = 0, year: str = "VOC2007", seed: int = 0
) -> Path:
    """`folder/VOCdevkit/YEAR` with JPEGImages, Annotations and ImageSets/Main; the path of the year's folder.

    In every second image with two classes or more one is marked difficult. Without `test` there is no test.txt.
    """
    rng = np.random.default_rng(seed)
    root = folder / "VOCdevkit" / year
    number = 0
    for split, count in (("train", train), ("val", val), ("test", test)):
        ids = []
        for i, columns in enumerate(draw_columns(count, len(CLASSES), rng)):
            number += 1
            extra = [column for column in columns if column != i % len(CLASSES)]
            ids.append(f"{number:06d}")
            write_image(root / "JPEGImages" / f"{ids[-1]}.jpg", columns, rng)
            write_annotation(root, ids[-1], columns, extra[:1] if number % 2 else [])
        if ids:
            lists = root / "ImageSets" / "Main"
            lists.mkdir(parents=True, exist_ok=True)
            (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in ids))
    return root


def write_annotation(root: Path, name: str, columns: list[int], difficult: list[int]) -> None:
    """The XML file of one image as the devkit writes it, one object per class column."""
    objects = []
    for column in columns:
        left, top, right, bottom = box_of(column)
        objects.append(
            f"<object><name>{CLASSES[column]}</name><pose>Unspecified</pose><truncated>0</truncated>"
            f"<difficult>{int(column in difficult)}</difficult><bndbox><xmin>{left}</xmin>"
            f"<ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        )
    path = root / "Annotations" / f"{name}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><folder>{root.name}</folder><filename>{name}.jpg</filename><size><width>{WIDTH}</width>"
        f"<height>{HEIGHT}</height><depth>3</depth></size><segmented>0</segmented>{''.join(objects)}</annotation>\n",
        encoding="utf-8",
    )


def read_written(folder: Path) -> dict[str, Any]:
    """Every file below a folder by its relative path: JSON as values, all else as bytes."""
    return {
        str(path.relative_to(folder)): json.loads(path.read_text()) if path.suffix == ".json" else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
