"""DeepFashion in its two published layouts, with few images and attributes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.helpers.tiny import write_image

ATTRIBUTES = ("floral", "long sleeve", "v-neck", "denim")
PARTS = ("train", "train", "train", "train", "val", "test")


def write_benchmark(folder: Path, images: int = 24, seed: int = 0) -> Path:
    """Anno/list_attr_cloth.txt, Anno/list_attr_img.txt, Eval/list_eval_partition.txt and Img/img; the folder."""
    names, values_NK, parts = _content(folder / "Img", images, seed)
    _write_names(folder / "Anno", 1000)
    rows = [
        f"{name:<70}" + "  ".join(f"{value:>2}" for value in row) for name, row in zip(names, values_NK, strict=True)
    ]
    _write(folder / "Anno/list_attr_img.txt", [str(images), "image_name  attribute_labels", *rows])
    rows = [f"{name:<70}{part}" for name, part in zip(names, parts, strict=True)]
    _write(folder / "Eval/list_eval_partition.txt", [str(images), "image_name  evaluation_status", *rows])
    return folder


def write_fine(folder: Path, images: int = 24, split_folder: bool = False, seed: int = 0) -> Path:
    """Anno_fine with list_attr_cloth.txt, and train, val, test lists there or in its folder split; the folder."""
    names, values_NK, parts = _content(folder / "Img", images, seed)
    _write_names(folder / "Anno_fine", 6)
    place = folder / "Anno_fine" / ("split" if split_folder else "")
    for part in ("train", "val", "test"):
        rows = [row for row, other in enumerate(parts) if other == part]
        _write(place / f"{part}.txt", [names[row] for row in rows])
        _write(place / f"{part}_attr.txt", [" ".join(str(max(value, 0)) for value in values_NK[row]) for row in rows])
    return folder


def _content(folder: Path, images: int, seed: int) -> tuple[list[str], np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    values_NK = rng.choice([-1, 0, 1], (images, len(ATTRIBUTES)), p=[0.6, 0.1, 0.3])
    values_NK[np.arange(images), np.arange(images) % len(ATTRIBUTES)] = 1
    names = [f"img/Blouse_{number % 3}/img_{number:08d}.jpg" for number in range(images)]
    for name, row in zip(names, values_NK, strict=True):
        write_image(folder / name, np.flatnonzero(row == 1).tolist(), rng)
    return names, values_NK, [PARTS[number % len(PARTS)] for number in range(images)]


def _write_names(folder: Path, kind: int) -> None:
    rows = [f"{name:<30}{kind % 5 + 1}" for name in ATTRIBUTES]
    _write(folder / "list_attr_cloth.txt", [str(len(ATTRIBUTES)), "attribute_name  attribute_type", *rows])


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
