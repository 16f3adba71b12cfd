"""Recipes side by side under several kinds of label noise and seeds, by the library alone.

`python -m benchmarks.recipes FOLDER` trains whatever is not yet in FOLDER and prints the table of all that is there; it
can be stopped and started again, and two of them can share the work: `--part 1/2` and `--part 2/2`. The same runs by
DVC, with plots and a record each: `python -m bmix compare --seeds 0 1 2 --set noise.kind=flip noise.rate=0.2`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.trained import made_once, pretrained_once, trained
from bmix.data.manifest import read_manifest
from bmix.data.noisy import read_labels
from bmix.data.present import read_present
from bmix.evaluation.results import metrics_of
from bmix.models.device import available_device
from bmix.models.store import load_classifier
from bmix.params import apply_edits, load_params, parse_params, read_yaml
from bmix.pipeline.presets import expand_presets
from bmix.recipes import RECIPES
from bmix.support import console
from bmix.support.files import read_json, write_json
from bmix.training.run import write_outputs
from stages import audit, evaluate, noise, prepare

NOISES = ("mislabel 0.4", "none 0.0", "flip 0.2", "single-positive 0.0")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=["bce", "mixup", "balancemix"])
    parser.add_argument("--noises", nargs="+", default=NOISES, metavar="'KIND RATE'")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--against", choices=list(RECIPES), help="print each recipe's difference to this one, too")
    parser.add_argument("--part", default="1/1", metavar="I/N")
    parser.add_argument("--tuned", type=Path, metavar="FILE", help="each recipe with its settings in this file")
    parser.add_argument("--set", dest="edits", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    root, home = Path.cwd(), arguments.folder.resolve()
    part, parts = (int(number) for number in arguments.part.split("/"))
    runs = list(product(arguments.noises, arguments.seeds, arguments.recipes))
    tuned = read_yaml(arguments.tuned) if arguments.tuned else {}
    for noise_kind, seed, recipe in runs[part - 1 :: parts]:
        kind, rate = noise_kind.split()
        folder = home / f"{kind}-{rate}" / f"{recipe}-{seed}"
        edits = [f"training.recipe={recipe}", f"training.seed={seed}", f"noise.seed={seed}", f"noise.kind={kind}"]
        if not (folder / "metrics.json").exists():
            own = tuned.get(recipe) or []
            run(root, folder, home / "prepared", [*arguments.edits, *edits, f"noise.rate={rate}", *own])
    with pd.option_context("display.width", 200):
        print(table(home).to_string(index=False))
        if arguments.against:
            print(f"\nmAP, and the difference to {arguments.against}, seed by seed")
            print(differences(home, arguments.against).to_string(index=False))


def run(root: Path, folder: Path, prepared: Path, edits: list[str]) -> None:
    """Train and measure one run in `folder`, uncut; the prepared data is made once for all."""
    content = apply_edits(read_yaml(root / "params.yaml"), expand_presets(edits))
    for section, key in (("data", "path"), ("data", "root"), ("noise", "matrix")):
        content[section][key] = str(root / content[section][key])
    for section in ("model", "audit"):
        if (root / content[section]["weights"]).exists():
            content[section]["weights"] = str(root / content[section]["weights"])
    parse_params(content)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    with contextlib.chdir(folder):
        made_once(prepared, lambda: _prepare(prepared))
        if not Path("data/prepared").exists():
            Path("data/prepared").symlink_to(prepared)
        noise.main()
        params = load_params()
        manifest = read_manifest(Path("data/prepared"))
        _, given_NK, true_NK = read_labels(Path("data/noisy"), manifest)
        present_NK = None
        if RECIPES[params.training.recipe].uses_audit:
            audit.main()
            present_NK = read_present(Path("data/audit"), *given_NK.shape)
        pretrained = pretrained_once(params, manifest, prepared.with_name("pretrained"))
        trainer, _ = trained(params, manifest, given_NK, pretrained, true_NK, present_NK)
        write_outputs(trainer, trainer.close(), Path())
        classifier = load_classifier(evaluate.MODEL, calibrated=False).to(available_device())
        metrics = metrics_of(evaluate.measure(params, manifest, classifier))
        write_json(Path("metrics.json"), metrics | {"seconds": round(sum(trainer.tables.seconds), 1)})


def _prepare(prepared: Path) -> None:
    prepare.main()
    os.replace("data/prepared", prepared)


def table(home: Path) -> pd.DataFrame:
    """Mean and standard error over the seeds of every finished run below `home`, in percent.

    A column that no run has (another test split, an empty group of classes) is left out. A cell that a recipe lacks is
    a dash; a single run has no error.
    """
    rows = []
    for noise_kind, recipe, seed, metrics in _finished(home):
        detection, repair = metrics["detection"] or {}, metrics["repair"] or {}
        rows.append(
            {
                "noise": noise_kind,
                "recipe": recipe,
                "seed": seed,
                **{f"test {group}": metrics["mAP"][group] for group in ("all", "many", "medium", "few")},
                "balanced": metrics.get("test-balanced", {}).get("all"),
                "found": detection.get("recall"),
                "precision": detection.get("precision"),
                "repaired": repair.get("repaired"),
                "seconds": metrics["seconds"] / 100,
            }
        )
    columns = [name for name in rows[0] if name not in ("noise", "recipe", "seed")] if rows else []
    frame = pd.DataFrame(rows).astype(dict.fromkeys(columns, float))
    grouped = frame.groupby(["noise", "recipe"], sort=False)[columns]
    mean, error = grouped.mean() * 100, grouped.sem() * 100
    alone = mean.round(1).astype(str)
    shown = (alone + " ± " + error.round(1).astype(str)).where(error.notna(), alone)
    shown = shown.where(mean.notna(), "–").loc[:, mean.notna().any()]
    return shown.assign(runs=grouped.size()).reset_index()


def differences(home: Path, against: str) -> pd.DataFrame:
    """A row per recipe, a column per noise: the mean mAP in percent, and how far it is above the one of `against`.

    The difference is the mean ± standard error of those at equal seeds, over the seeds that both have; without an
    error for a single seed, and empty where there is none.
    """
    finished = [(noise, seed, recipe, 100 * metrics["mAP"]["all"]) for noise, recipe, seed, metrics in _finished(home)]
    runs = pd.DataFrame(finished, columns=["noise", "seed", "recipe", "mAP"])
    wide = runs.pivot_table("mAP", index=["noise", "seed"], columns="recipe")
    apart = wide.sub(wide[against], axis=0)
    cells = {}
    for recipe in wide:
        by_noise = apart[recipe].groupby("noise")
        mean, error, level = by_noise.mean(), by_noise.sem(), wide[recipe].groupby("noise").mean()
        cells[recipe] = {
            noise_kind: _cell(level[noise_kind], mean[noise_kind], error[noise_kind], recipe == against)
            for noise_kind in mean.index
        }
    return pd.DataFrame(cells).T.rename_axis("recipe").reset_index()


def _cell(level: float, difference: float, error: float, is_reference: bool) -> str:
    if pd.isna(level):
        return "–"
    if is_reference or pd.isna(difference):
        return f"{level:.1f}"
    return f"{level:.1f} ({difference:+.1f}" + ("" if pd.isna(error) else f" ± {error:.1f}") + ")"


def _finished(home: Path) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Noise, recipe, seed and metrics of every finished run below `home`."""
    for path in sorted(home.glob("*/*-*/metrics.json")):
        recipe, _, seed = path.parent.name.rpartition("-")
        yield path.parent.parent.name, recipe, seed, read_json(path)


if __name__ == "__main__":
    console.run(main)
