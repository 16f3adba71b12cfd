"""CIFAR-10N mosaics: four pictures of CIFAR-10 to an image, so that human labels make real multi-label noise.

`python -m benchmarks.mosaics make PICTURES LABELS.npz FOLDER` writes FOLDER/images and a table for the source `table`
per set of human labels: `aggre.csv`, `random1.csv` and `worse.csv`. An image's labels are the classes that people gave
to its four pictures, its `true` ones those of CIFAR-10. Test mosaics are of CIFAR-10's test pictures, whose labels are
right. As the tables differ in labels alone, the images are embedded once: `python -m benchmarks.mosaics label
FEATURES.npz FOLDER` puts each table's labels beside the features of `bmix embed`.

PICTURES holds train/CLASS/NNNN.jpg and test/CLASS/NNNN.jpg, each class numbered in CIFAR-10's order. LABELS.npz has, in
the order of CIFAR-10's training pictures, (N,) numbers of classes: `true`, and CIFAR-10N's `aggre_label`,
`random_label1` and `worse_label`; and their `class_names`.
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
from bmix.support.files import replaced

SETS = {"aggre": "aggre_label", "random1": "random_label1", "worse": "worse_label"}
"""The tables, and the arrays of human labels behind them: the majority of three, one person's, the worst of three."""

SIDE, PART = 2, 32
"""Pictures along a side of a mosaic, and pixels along a side of a picture."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mosaics", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make", help="images and tables")
    maker.add_argument("pictures", type=Path)
    maker.add_argument("labels", type=Path)
    maker.add_argument("folder", type=Path)
    maker.add_argument("--train", type=int, default=3000, help="training mosaics")
    maker.add_argument("--test", type=int, default=1000, help="test mosaics")
    maker.add_argument("--seed", type=int, default=0, help="draws the pictures of each mosaic")
    labeller = commands.add_parser("label", help="features with each table's labels")
    labeller.add_argument("features", type=Path)
    labeller.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "make":
        counts = {"train": arguments.train, "test": arguments.test}
        make(arguments.pictures, arguments.labels, arguments.folder, counts, arguments.seed)
    else:
        label(arguments.features, arguments.folder)


def make(pictures: Path, labels: Path, folder: Path, counts: dict[str, int], seed: int) -> None:
    """Write the mosaics of both splits and the three tables, and print how many given labels are wrong in each."""
    with open_npz(labels) as archive:
        names = archive.read("class_names").tolist()
        people = {name: archive.read(array) for name, array in {"true": "true", **SETS}.items()}
    paths = numbered(people["true"], names)
    test_paths = sorted(str(path.relative_to(pictures)) for path in pictures.glob("test/*/*.jpg"))
    of_test_N = np.array([names.index(Path(path).parent.name) for path in test_paths])
    parts = {"train": (paths, people), "test": (test_paths, dict.fromkeys(people, of_test_N))}
    rows: dict[str, list[dict[str, str]]] = {name: [] for name in SETS}
    for split, (split_paths, classes) in parts.items():
        drawn_MP = draw(len(split_paths), counts[split], numpy_generator(seed, f"mosaics {split}"))
        (folder / "images" / split).mkdir(parents=True, exist_ok=True)
        for number, drawn_P in enumerate(drawn_MP):
            path = f"{split}/{number:05d}.png"
            compose([pictures / split_paths[row] for row in drawn_P]).save(folder / "images" / path)
            union = {name: ";".join(names[k] for k in np.unique(class_N[drawn_P])) for name, class_N in classes.items()}
            for name, table in rows.items():
                table.append({"path": path, "labels": union[name], "true": union["true"], "split": split})
    for name, table in rows.items():
        frame = pd.DataFrame(table)
        frame.to_csv(folder / f"{name}.csv", index=False)
        print(name, wrong_labels(frame[frame["split"] == "train"]), flush=True)


def numbered(class_N: np.ndarray, names: list[str]) -> list[str]:
    """The path of each training picture: within its class it is counted from 0000."""
    seen = dict.fromkeys(names, 0)
    paths = []
    for name in (names[k] for k in class_N):
        paths.append(f"train/{name}/{seen[name]:04d}.jpg")
        seen[name] += 1
    return paths


def draw(pictures: int, mosaics: int, generator: np.random.Generator) -> np.ndarray:
    """Rows of the pictures of each mosaic, (mosaics, 4) int64; no picture twice."""
    needed = mosaics * SIDE**2
    if needed > pictures:
        raise InputError(
            "--train or --test",
            f"{mosaics} mosaics of {pictures} pictures",
            f"at most {pictures // SIDE**2}: no picture is used twice",
            "ask for fewer",
        )
    return generator.permutation(pictures)[:needed].reshape(mosaics, SIDE**2)


def compose(paths: list[Path]) -> Image.Image:
    """Four pictures of 32 pixels as one of 64, row by row."""
    mosaic = Image.new("RGB", (SIDE * PART, SIDE * PART))
    for place, path in enumerate(paths):
        with Image.open(path) as picture:
            mosaic.paste(picture.convert("RGB"), (place % SIDE * PART, place // SIDE * PART))
    return mosaic


def wrong_labels(frame: pd.DataFrame) -> str:
    """In percent: the given labels that are wrong, and the true ones that are not given."""
    pairs = [
        (set(given.split(";")), set(true.split(";")))
        for given, true in zip(frame["labels"], frame["true"], strict=True)
    ]
    given, true = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    both = sum(len(given & true) for given, true in pairs)
    wrong, missing = 100 * (given - both) / given, 100 * (true - both) / true
    return f"{given} given labels, {wrong:.1f} % of them wrong; {true} true labels, {missing:.1f} % of them missing"


def label(features: Path, folder: Path) -> None:
    """Write FEATURES-SET.npz beside the features for each table: the same but for its labels, and the true ones."""
    with open_npz(features) as archive:
        arrays = {name: archive.read(name) for name in ("X", "classes", "ids", "split")}
    names = arrays["classes"].tolist()
    for name in SETS:
        frame = pd.read_csv(folder / f"{name}.csv").set_index("path").loc[arrays["ids"].tolist()]
        given_NK, true_NK = (_matrix(frame[column], names) for column in ("labels", "true"))
        with replaced(features.with_name(f"{features.stem}-{name}.npz")) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays, Y=given_NK, true=true_NK)


def _matrix(labels: pd.Series, names: list[str]) -> np.ndarray:
    return labels.str.get_dummies(";").reindex(columns=names, fill_value=0).to_numpy(np.int8)


if __name__ == "__main__":
    console.run(main)
