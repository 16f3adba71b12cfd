"""MNIST with rare digits: what the tables of the affinity head are run on.

`python -m benchmarks.mnist MNIST.npz FOLDER` writes FOLDER/images and tables for the source `table`: `share-100.csv`,
`share-10.csv` and `share-2.5.csv`, in which that share of the training images of the digits 0 to 4 is kept
(`--shares`), and `each-50.csv`, `each-20.csv` and `each-10.csv`, in which that many of each are (`--each`). Training
and validation images are MNIST's training images, test images its test images, each drawn by the seed with all digits
alike; nothing but the training images of 0 to 4 becomes fewer.

MNIST.npz has `x_train`, `y_train`, `x_test` and `y_test`, uint8, images (N, 28, 28) and digits (N,).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bmix.randomness import numpy_generator
from bmix.sources.features.npz import open_npz
from bmix.support import console
from bmix.support.errors import InputError

DIGITS, RARE = 10, 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mnist", description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=10_000, help="training images before any are left out")
    parser.add_argument("--val", type=int, default=2_000, help="validation images")
    parser.add_argument("--test", type=int, default=10_000, help="test images")
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0, 0.1, 0.025], help="kept of the digits 0 to 4")
    parser.add_argument("--each", type=int, nargs="+", default=[50, 20, 10], help="kept of each of the digits 0 to 4")
    parser.add_argument("--seed", type=int, default=0, help="draws the images of each split, and which are kept")
    arguments = parser.parse_args()
    counts = {"train": arguments.train, "val": arguments.val, "test": arguments.test}
    kept: dict[str, float | int] = {f"share-{100 * share:g}": share for share in arguments.shares}
    kept |= {f"each-{count}": count for count in arguments.each}
    make(arguments.archive, arguments.folder, counts, kept, arguments.seed)


def make(archive: Path, folder: Path, counts: dict[str, int], tables: dict[str, float | int], seed: int) -> None:
    """Write the images and the tables, and print the training images of each digit.

    tables: by name what is kept of the training images of each rare digit, see `keep`.
    """
    for name, rare in tables.items():
        if rare <= 0 or (isinstance(rare, float) and rare > 1):
            raise InputError(
                name, f"{rare:g}", "a share above 0, up to 1, or a number", "e.g. --shares 1 0.1 --each 50"
            )
    with open_npz(archive) as stored:
        arrays = {name: stored.read(name) for name in ("x_train", "y_train", "x_test", "y_test")}
    drawn = draw(arrays["y_train"], {name: counts[name] for name in ("train", "val")}, numpy_generator(seed, "mnist"))
    drawn |= draw(arrays["y_test"], {"test": counts["test"]}, numpy_generator(seed, "mnist test"))
    rows = []
    for split, rows_N in drawn.items():
        origin = "test" if split == "test" else "train"
        (folder / "images" / split).mkdir(parents=True, exist_ok=True)
        for row in rows_N.tolist():
            path = f"{split}/{row:05d}.png"
            Image.fromarray(arrays[f"x_{origin}"][row]).save(folder / "images" / path)
            rows.append({"path": path, "labels": f"digit {arrays[f'y_{origin}'][row]}", "split": split})
    frame = pd.DataFrame(rows)
    for name, rare in tables.items():
        kept = frame[keep(frame, rare)]
        kept.to_csv(folder / f"{name}.csv", index=False)
        digits = kept.loc[kept["split"] == "train", "labels"].value_counts().sort_index()
        print(f"{name}: {len(kept[kept['split'] == 'train'])} training images, {digits.tolist()} of the digits 0 to 9")


def draw(digit_N: np.ndarray, counts: dict[str, int], generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Rows of each split, int64, none twice, in random order: of every digit as nearly as many as of the others."""
    shuffled = generator.permutation(len(digit_N))
    # The first of every digit, then the second of every digit, and so on.
    rank_N = np.empty(len(digit_N), np.int64)
    for digit in range(DIGITS):
        own = shuffled[digit_N[shuffled] == digit]
        rank_N[own] = np.arange(len(own))
    ordered = shuffled[np.argsort(rank_N[shuffled], kind="stable")]
    if sum(counts.values()) > len(ordered):
        names = " and ".join(f"--{name}" for name in counts)
        found, expected = f"{sum(counts.values())} images of {len(ordered)}", f"at most {len(ordered)} in all"
        raise InputError(names, found, expected, "ask for fewer")
    ends = np.cumsum(list(counts.values()))
    return {name: ordered[end - count : end] for (name, count), end in zip(counts.items(), ends, strict=True)}


def keep(frame: pd.DataFrame, rare: float | int) -> np.ndarray:
    """Which rows a table keeps, bool (N,): of the training images of each digit 0 to 4 the first ones, at least one.

    rare: the share of them, a float, or their number, an int. Who keeps fewer keeps some of those that others keep.
    """
    kept_N = np.ones(len(frame), dtype=bool)
    for digit in range(RARE):
        own = np.flatnonzero((frame["split"] == "train") & (frame["labels"] == f"digit {digit}"))
        kept_N[own[max(1, round(rare * len(own))) if isinstance(rare, float) else rare :]] = False
    return kept_N


if __name__ == "__main__":
    console.run(main)
