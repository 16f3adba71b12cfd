"""Long-tailed CIFAR-10 as a source: few pictures of the later classes, a pool without labels, and test pictures.

`python -m benchmarks.long_tail PICTURES FOLDER` writes FOLDER/RATIO.csv for each imbalance ratio, a table for
`data.source table` with `data.root` PICTURES. Class i keeps most · ratio^(-i / (C - 1)) training pictures, rounded down
(Cui et al. 2019; Yang and Xu 2020). The pool holds `pool` times as many pictures of each class, in the same shares, or
with `--balanced` as many of every class in the same total; the validation split holds as many of every class. Pictures
of the pool have no label; what they show stands in the column `true`, which scores pseudo-labels and is not trained on.

PICTURES holds train/CLASS/NNNN.jpg and test/CLASS/NNNN.jpg.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from bmix.randomness import numpy_generator
from bmix.support import console
from bmix.support.errors import InputError
from bmix.support.files import write_csv


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_tail", description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ratio", type=int, nargs="+", default=[10, 100], help="most over fewest pictures of a class")
    parser.add_argument("--most", type=int, default=500, help="training pictures of the first class")
    parser.add_argument("--pool", type=int, default=5, help="pictures of the pool for each training picture")
    parser.add_argument("--balanced", action="store_true", help="a pool with as many of every class")
    parser.add_argument("--val", type=int, default=50, help="validation pictures of each class")
    parser.add_argument("--test", type=int, help="test pictures of each class; all of them otherwise")
    parser.add_argument("--seed", type=int, default=0, help="draws the pictures")
    arguments = parser.parse_args()
    names = {split: read_names(arguments.pictures / split) for split in ("train", "test")}
    names["test"] = {name: paths[: arguments.test] for name, paths in names["test"].items()}
    for ratio in arguments.ratio:
        kept_K = tail(arguments.most, ratio, len(names["train"]))
        pool_K = pool_counts(kept_K, arguments.pool, arguments.balanced)
        table = long_tail(names, kept_K, pool_K, arguments.val, numpy_generator(arguments.seed, "long tail", ratio))
        write_csv(arguments.folder / f"{ratio}.csv", table)
        counted = ", ".join(f"{split} {count:,}" for split, count in table["split"].value_counts(sort=False).items())
        print(f"{ratio}: {counted}; training pictures by class {' '.join(map(str, kept_K))}", flush=True)


def read_names(folder: Path) -> dict[str, list[str]]:
    """The pictures below a folder of classes, by class, as paths from the folder above it."""
    found = {
        place.name: sorted(str(path.relative_to(folder.parent)) for path in place.glob("*.jpg"))
        for place in sorted(folder.glob("*/"))
    }
    if not found:
        raise InputError(str(folder), "holds no classes", "a folder for each class", "name the unpacked CIFAR-10")
    return found


def tail(most: int, ratio: float, classes: int) -> list[int]:
    """Pictures of each class: most · ratio^(-i / (C - 1)), rounded down, at least 1."""
    return [max(1, int(most * ratio ** (-i / (classes - 1)) + 1e-9)) for i in range(classes)]


def pool_counts(kept_K: list[int], times: int, balanced: bool) -> list[int]:
    """Pictures of each class in the pool."""
    return [times * sum(kept_K) // len(kept_K)] * len(kept_K) if balanced else [times * kept for kept in kept_K]


def long_tail(
    names: dict[str, dict[str, list[str]]],
    kept_K: list[int],
    pool_K: list[int],
    held_out: int,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """`path`, `labels`, `true` and `split` of every picture used; no training picture twice.

    names: the pictures of train and test by class. InputError if a class has too few.
    """
    rows = []
    for (name, paths), kept, pooled in zip(names["train"].items(), kept_K, pool_K, strict=True):
        if kept + pooled + held_out > len(paths):
            raise InputError(
                "--most or --pool",
                f"{kept} training, {pooled} unlabelled and {held_out} validation pictures of {name}",
                f"at most {len(paths)} together: no picture is used twice",
                "ask for fewer",
            )
        drawn = [paths[i] for i in generator.permutation(len(paths))]
        parts = np.repeat(["train", "val", "unlabelled"], [kept, held_out, pooled])
        rows += [
            {"path": path, "labels": "" if part == "unlabelled" else name, "true": name, "split": part}
            for path, part in zip(drawn, parts.tolist(), strict=False)
        ]
    rows += [
        {"path": path, "labels": name, "true": name, "split": "test"}
        for name, paths in names["test"].items()
        for path in paths
    ]
    return pd.DataFrame(rows)


if __name__ == "__main__":
    console.run(main)
