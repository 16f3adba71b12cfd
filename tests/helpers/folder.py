"""A folder of images per class, with and without a folder per part."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.helpers.tiny import draw_columns, write_image


def write_folder(
    folder: Path, images: int = 30, classes: tuple[str, ...] = ("bird", "cat", "dog"), parts: bool = True, seed: int = 0
) -> Path:
    """`folder/CLASS/000.png`, or with parts `folder/PART/CLASS/000.png` for train, val and test in turns of 4, 1, 1.

    An image of several classes is in the folder of each, under one name.
    """
    rng = np.random.default_rng(seed)
    for number, columns in enumerate(draw_columns(images, len(classes), rng)):
        turn = number // len(classes) % 6
        part = "val" if turn == 1 else "test" if turn == 2 else "train"
        places = [folder / part / classes[column] if parts else folder / classes[column] for column in columns]
        write_image(places[0] / f"{number:03d}.png", columns, rng)
        for place in places[1:]:
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number:03d}.png").write_bytes((places[0] / f"{number:03d}.png").read_bytes())
    return folder
