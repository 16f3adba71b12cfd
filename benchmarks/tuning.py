"""Each recipe's settings chosen on a validation split, every recipe by the same number of trials.

`python -m benchmarks.tuning FOLDER --set features data.path=FEATURES evaluate.split=val ...` trains whatever is not yet
in FOLDER, prints the mAP of every trial and writes FOLDER/tuned.yaml, which `python -m benchmarks.recipes --tuned`
reads. A recipe's choice is the trial with the highest mean over the kinds of noise. The test split is not looked at.
"""

from __future__ import annotations

import argparse
import os
from itertools import product
from pathlib import Path

import pandas as pd
import yaml

from benchmarks.recipes import run
from bmix.support import console
from bmix.support.files import read_json

# Beside the settings as they stand: two learning rates, and two of the recipe's own.
RATES = ("training.learning_rate=0.003", "training.learning_rate=0.03")
ALPHAS = ("method.alpha=1", "method.alpha=0.2")
OWN = {
    "bce": ("model.dropout=0.5", "training.weight_decay=0.001"),
    "mixup": ALPHAS,
    "focal": ("recipes.focal.gamma=1", "recipes.focal.gamma=3"),
    "asl": ("recipes.asl.gamma_negative=2", "recipes.asl.gamma_positive=1"),
    "co-teaching": ALPHAS,
    "ll-r": ("recipes.ll-r.delta_rel=0.05", "recipes.ll-r.delta_rel=0.2"),
    "ll-ct": ("recipes.ll-ct.delta_rel=0.05", "recipes.ll-ct.delta_rel=0.2"),
    "ll-cp": ("recipes.ll-cp.delta_rel=0.05", "recipes.ll-cp.delta_rel=0.2"),
    "splc": ("recipes.splc.tau=0.8", "recipes.splc.tau=0.9"),
    "t-estimator": ALPHAS,
    "balanced-mixup": ("recipes.balanced-mixup.alpha=1", "recipes.balanced-mixup.alpha=0.2"),
    "balancemix": ("method.epsilon=0.9", "method.alpha=1"),
}
NOISES = ("mislabel 0.4", "single-positive 0.0")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipes", nargs="+", choices=list(OWN), default=list(OWN))
    parser.add_argument("--noises", nargs="+", default=NOISES, metavar="'KIND RATE'")
    parser.add_argument("--seed", type=int, default=10)
    parser.add_argument("--part", default="1/1", metavar="I/N")
    parser.add_argument("--set", dest="edits", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    root, home = Path.cwd(), arguments.folder.resolve()
    part, parts = (int(number) for number in arguments.part.split("/"))
    trials = [(recipe, trial) for recipe in arguments.recipes for trial in (None, *RATES, *OWN[recipe])]
    for (recipe, trial), noise_kind in list(product(trials, arguments.noises))[part - 1 :: parts]:
        kind, rate = noise_kind.split()
        folder = _folder(home, recipe, trial, noise_kind)
        if not (folder / "metrics.json").exists():
            edits = [f"training.recipe={recipe}", f"training.seed={arguments.seed}", f"noise.seed={arguments.seed}"]
            edits += [f"noise.kind={kind}", f"noise.rate={rate}", *([trial] if trial else [])]
            run(root, folder, home / "prepared", [*arguments.edits, *edits])
    table = trials_table(home, trials, tuple(arguments.noises))
    with pd.option_context("display.width", 200):
        print(table.round(1).to_string(index=False))
    chosen = choices(table)
    temporary = home / "tuned.yaml.part"
    temporary.write_text(yaml.safe_dump(chosen))
    os.replace(temporary, home / "tuned.yaml")


def trials_table(home: Path, trials: list[tuple[str, str | None]], noises: tuple[str, ...]) -> pd.DataFrame:
    """A row per finished trial: recipe, setting, the validation mAP in percent under each noise, and their mean."""
    rows = []
    for recipe, trial in trials:
        paths = [_folder(home, recipe, trial, noise_kind) / "metrics.json" for noise_kind in noises]
        if all(path.exists() for path in paths):
            maps = [100 * read_json(path)["mAP"]["all"] for path in paths]
            figures = dict(zip(noises, maps, strict=True)) | {"mean": sum(maps) / len(maps)}
            rows.append({"recipe": recipe, "setting": trial or "as it stands", **figures})
    return pd.DataFrame(rows)


def choices(table: pd.DataFrame) -> dict[str, list[str]]:
    """Of every recipe the edits of its best trial; none where the settings as they stand are the best."""
    best = table.loc[table.groupby("recipe")["mean"].idxmax()] if len(table) else table
    return {
        row["recipe"]: [] if row["setting"] == "as it stands" else [row["setting"]] for row in best.to_dict("records")
    }


def _folder(home: Path, recipe: str, trial: str | None, noise_kind: str) -> Path:
    return home / noise_kind.replace(" ", "-") / recipe / (trial or "default").replace("=", "-")


if __name__ == "__main__":
    console.run(main)
