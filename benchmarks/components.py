"""The components of BalanceMix one after another (Table 5), with other samplers beside them, and on a longer tail.

`python -m benchmarks.components FOLDER --set features data.path=FEATURES ...` trains whatever is not yet in FOLDER and
prints mean ± standard error over the seeds, and the paired difference to the row that each one changes. `--thin 353
FEATURES.npz` thins the training images first, so that the rarest class has 1/353 of the positives that the most
frequent one had, and prints what eq. 4 would draw of them by simulated confidences (benchmarks.many_classes).
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.many_classes import sampler_table, simulate
from benchmarks.recipes import run
from bmix.randomness import numpy_generator
from bmix.sources.features.npz import open_npz
from bmix.support import console
from bmix.support.files import read_json, replaced

ROWS: dict[str, tuple[str, list[str]]] = {
    "mixup": ("", ["training.recipe=mixup"]),
    "+ minority sampler": ("mixup", ["method.clean=false"]),
    "+ clean labels": ("+ minority sampler", ["method.relabel=false", "method.ambiguous=false"]),
    "+ re-labelled": ("+ clean labels", ["method.ambiguous=false"]),
    "+ ambiguous (balancemix)": ("+ re-labelled", []),
    "balancemix, uniform partners": ("+ ambiguous (balancemix)", ["method.minority=false"]),
    "balancemix, sharpness 4": ("balancemix, uniform partners", ["method.sharpness=4"]),
    "balancemix, sharpness 16": ("balancemix, uniform partners", ["method.sharpness=16"]),
}
"""Each row's edits, and the row that it is compared to."""

GROUPS = ("all", "many", "medium", "few")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.components", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--noise", default="mislabel 0.4", metavar="'KIND RATE'")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    parser.add_argument("--thin", nargs=2, metavar=("RATIO", "FEATURES"), help="the ratio, and the .npz to thin")
    parser.add_argument("--set", dest="edits", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    root, home = Path.cwd(), arguments.folder.resolve()
    edits = arguments.edits
    if arguments.thin:
        home.mkdir(parents=True, exist_ok=True)
        ratio, features = arguments.thin
        print("training positives:", thin(Path(features), home / "thin.npz", float(ratio)))
        print(sampled(home / "thin.npz").round(2).to_string(index=False), flush=True)
        edits = [*edits, f"data.path={home / 'thin.npz'}", f"data.root={home}"]
    kind, rate = arguments.noise.split()
    for seed, row in product(arguments.seeds, arguments.rows):
        folder = _folder(home, row, seed)
        if not (folder / "metrics.json").exists():
            fixed = [f"training.seed={seed}", f"noise.seed={seed}", f"noise.kind={kind}", f"noise.rate={rate}"]
            run(root, folder, home / "prepared", [*edits, "training.recipe=balancemix", *fixed, *ROWS[row][1]])
    if arguments.rows:
        print(table(home, arguments.rows, arguments.seeds).to_string(index=False))


def thin(features: Path, output: Path, ratio: float, seed: int = 0) -> list[int]:
    """Write the features without some images of split train; its positives of each class, most frequent first.

    Wanted are counts that fall evenly in logarithm from the most frequent class's to 1 / ratio of it; that class itself
    ends below its own, as its images beside others go with them. From the rarest class on, images of a class that has
    too many are left out at random, but for those that show a rarer class too.
    """
    with open_npz(features) as archive:
        arrays = {name: archive.read(name) for name in archive.names}
    labels_NK = arrays["Y"] == 1
    training_N = arrays["split"] == "train"
    order_K = np.argsort(-labels_NK[training_N].sum(axis=0), kind="stable")
    most = labels_NK[training_N, order_K[0]].sum()
    wanted_K = np.maximum(1, np.round(most * ratio ** -np.linspace(0, 1, len(order_K)))).astype(int)
    kept_N, done_N = np.ones(len(labels_NK), dtype=bool), np.zeros(len(labels_NK), dtype=bool)
    generator = numpy_generator(seed, "thin")
    for wanted, k in zip(wanted_K[::-1], order_K[::-1], strict=True):
        shown = np.flatnonzero(labels_NK[:, k] & training_N & kept_N)
        free = generator.permutation(shown[~done_N[shown]])
        kept_N[free[: max(0, len(shown) - wanted)]] = False
        done_N[shown] = True
    with replaced(output) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **{n: v[kept_N] if len(v) == len(kept_N) else v for n, v in arrays.items()})
    return labels_NK[training_N & kept_N][:, order_K].sum(axis=0).tolist()


def sampled(features: Path) -> pd.DataFrame:
    """What samplers draw of the training images, by a model in the middle of training, 40 % of the positives moved."""
    with open_npz(features) as archive:
        labels_NK = (archive.read("Y")[archive.read("split") == "train"] == 1).astype(np.uint8)
    return sampler_table(simulate(labels_NK, "mislabel", "middle", seed=0))


def table(home: Path, rows: list[str], seeds: list[int]) -> pd.DataFrame:
    """A row per component: mAP in percent by groups of classes, and for all the step from the row it is compared to."""
    measured = {row: _percent(home, row, seeds) for row in rows}
    lines = []
    for row in rows:
        base = ROWS[row][0]
        line = {"row": row, **{group: shown(measured[row][group], "") for group in GROUPS}}
        compared = base in measured
        line["compared to"] = base if compared else "–"
        for group in ("all", "few"):
            line[f"step, {group}"] = shown(measured[row][group] - measured[base][group], "+") if compared else "–"
        lines.append(line)
    return pd.DataFrame(lines)


def _percent(home: Path, row: str, seeds: list[int]) -> pd.DataFrame:
    """mAP by seed and group; NaN in a group without a class."""
    maps = [read_json(_folder(home, row, seed) / "metrics.json")["mAP"] for seed in seeds]
    return 100 * pd.DataFrame(maps, index=seeds, dtype=float).reindex(columns=list(GROUPS))


def shown(values: pd.Series, sign: str) -> str:
    """Mean ± standard error of what there is of the seeds; a dash if there is nothing. sign: + to show it always."""
    numbers = values.dropna().to_numpy(float)
    if not len(numbers):
        return "–"
    error = f" ± {numbers.std(ddof=1) / np.sqrt(len(numbers)):.1f}" if len(numbers) > 1 else ""
    return f"{numbers.mean():{sign}.1f}{error}"


def _folder(home: Path, row: str, seed: int) -> Path:
    return home / row.replace(" ", "-") / str(seed)


if __name__ == "__main__":
    console.run(main)
