"""The affinity head, pre-training and pseudo-labels, each alone and with BalanceMix, under several kinds of noise.

`python -m benchmarks.imbalance FOLDER --set features data.path=FEATURES.npz ...` trains whatever is not yet in FOLDER
and prints mean ± standard error over the seeds, and the paired difference to the row that each one changes. The rows
with half of the labels read FOLDER/half.npz, in which every other training image, at random, has lost its labels.
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.components import shown
from benchmarks.recipes import run
from benchmarks.trained import made_once
from bmix.params import read_yaml
from bmix.randomness import numpy_generator
from bmix.sources.features.npz import open_npz
from bmix.support import console
from bmix.support.files import read_json, replaced


class Row(NamedTuple):
    """A row: its edits, the row that it is compared to, and whether half of the training images have no labels."""

    edits: tuple[str, ...]
    base: str = ""
    half: bool = False


BCE, BALANCEMIX = "training.recipe=bce", "training.recipe=balancemix"
POOL, PRETRAINED = "pseudo.use=true", "pretrain.method=simsiam"
ROWS: dict[str, Row] = {
    "bce": Row((BCE,)),
    "balancemix": Row((BALANCEMIX,)),
    "affinity": Row(("model.head=affinity", "training.recipe=max-margin"), "bce"),
    "affinity, balancemix": Row(("model.head=affinity", BALANCEMIX), "balancemix"),
    "pre-trained, bce": Row((BCE, PRETRAINED), "bce"),
    "pre-trained, balancemix": Row((BALANCEMIX, PRETRAINED), "balancemix"),
    "half, bce": Row((BCE,), half=True),
    "half, bce, pseudo-labels": Row((BCE, POOL), "half, bce", half=True),
    "half, balancemix": Row((BALANCEMIX,), half=True),
    "half, balancemix, pseudo-labels": Row((BALANCEMIX, POOL), "half, balancemix", half=True),
}
OF_FEATURES = [name for name, row in ROWS.items() if PRETRAINED not in row.edits]
"""The rows that need no images."""
NOISES = ("none 0.0", "mislabel 0.4", "single-positive 0.0")
GROUPS = ("all", "few")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imbalance", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=OF_FEATURES, metavar="ROW")
    parser.add_argument("--noises", nargs="+", default=NOISES, metavar="'KIND RATE'")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--part", default="1/1", metavar="I/N")
    parser.add_argument("--tuned", type=Path, metavar="FILE", help="each row with its settings in this file")
    parser.add_argument("--half", type=Path, metavar="FEATURES", help="the .npz of which half.npz is made")
    parser.add_argument("--set", dest="edits", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    if arguments.half is None and any(ROWS[name].half for name in arguments.rows):
        parser.error("rows with half of the labels need --half FEATURES, the .npz that is to be halved")
    root, home = Path.cwd(), arguments.folder.resolve()
    home.mkdir(parents=True, exist_ok=True)
    tuned = read_yaml(arguments.tuned) if arguments.tuned else {}
    part, parts = (int(number) for number in arguments.part.split("/"))
    for noise_kind, seed, name in list(product(arguments.noises, arguments.seeds, arguments.rows))[part - 1 :: parts]:
        folder, row = _folder(home, noise_kind, name, seed), ROWS[name]
        if (folder / "metrics.json").exists():
            continue
        kind, rate = noise_kind.split()
        edits = [*arguments.edits, f"noise.kind={kind}", f"noise.rate={rate}", f"noise.seed={seed}"]
        if row.half:
            half = home / "half.npz"
            made_once(half, partial(halve, arguments.half, half))
            edits += [f"data.path={half}", f"data.root={home}", *_with_pool(edits)]
        prepared = home / ("prepared-half" if row.half else "prepared")
        run(root, folder, prepared, [*edits, f"training.seed={seed}", *row.edits, *(tuned.get(name) or [])])
    with pd.option_context("display.width", 200):
        print(table(home, arguments.rows, arguments.noises, arguments.seeds).to_string(index=False))


def _with_pool(edits: list[str]) -> list[str]:
    """The edit that keeps split `unlabelled`, where the edits say which splits are read."""
    chosen = [edit for edit in edits if edit.startswith("data.splits=")]
    return [f"{chosen[-1]} unlabelled=unlabelled"] if chosen and chosen[-1] != "data.splits=auto" else []


def halve(features: Path, output: Path, seed: int = 0) -> None:
    """The same rows; of split `train` every other one, at random, is of split `unlabelled` and has no label in Y.

    `true` holds what Y held.
    """
    with open_npz(features) as archive:
        arrays = {name: archive.read(name) for name in archive.names}
    train_T = np.flatnonzero(arrays["split"] == "train")
    withheld_U = np.sort(numpy_generator(seed, "withhold").permutation(train_T)[: len(train_T) // 2])
    split_N = arrays["split"].astype("<U10")
    split_N[withheld_U] = "unlabelled"
    given_NK = arrays["Y"].copy()
    given_NK[withheld_U] = 0
    true_NK = np.maximum(arrays["Y"], 0)
    with replaced(output) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **(arrays | {"split": split_N, "Y": given_NK, "true": true_NK}))


def table(home: Path, rows: list[str], noises: list[str], seeds: list[int]) -> pd.DataFrame:
    """A line per row: per noise the mAP in percent of all classes, and of all and the few-shot ones the paired step."""
    lines = []
    for name in rows:
        line = {"row": name, "compared to": ROWS[name].base or "–"}
        for noise_kind in noises:
            own = _percent(home, noise_kind, name, seeds)
            base = _percent(home, noise_kind, ROWS[name].base, seeds) if ROWS[name].base else None
            line[noise_kind] = shown(own["all"], "")
            for group in GROUPS:
                line[f"step, {group} ({noise_kind})"] = "–" if base is None else shown(own[group] - base[group], "+")
        lines.append(line)
    return pd.DataFrame(lines)


def _percent(home: Path, noise_kind: str, name: str, seeds: list[int]) -> pd.DataFrame:
    paths = {seed: _folder(home, noise_kind, name, seed) / "metrics.json" for seed in seeds}
    maps = {seed: read_json(path)["mAP"] for seed, path in paths.items() if path.exists()}
    return 100 * pd.DataFrame(maps, dtype=float).T.reindex(columns=list(GROUPS))


def _folder(home: Path, noise_kind: str, name: str, seed: int) -> Path:
    return home / noise_kind.replace(" ", "-") / name.replace(", ", "-") / str(seed)


if __name__ == "__main__":
    console.run(main)
