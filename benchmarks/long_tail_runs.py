"""What pre-training and pseudo-labels are worth on long-tailed CIFAR-10: top-1 errors over seeds, beside the papers'.

`python -m benchmarks.long_tail_runs PICTURES TABLES RESULTS.jsonl` trains on each table of `benchmarks.long_tail`, by
the preset `cifar`, three ways: cross-entropy alone, from a backbone that predicted rotations, and with the pool's
pseudo-labels; it prints the mean and the standard error of the error on test. Each finished run is a line of RESULTS
and is not repeated with the same `--set`. One process and no pipeline: for trying settings before the tables ssp-cifar
and pseudo-cifar. The small network and few epochs stand in for ResNet-32 and 200: signs can be compared with the
paper's, errors cannot.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.trained import pretrained_once, trained
from bmix.ablation.grid import paper_table
from bmix.ablation.published import published
from bmix.data.manifest import Manifest
from bmix.data.pretrained import OFF
from bmix.data.stores import open_store
from bmix.evaluation.top1 import top1
from bmix.params import Params, apply_edits, parse_params, read_yaml
from bmix.pipeline.presets import expand_presets
from bmix.pseudo.labels import precision
from bmix.sources.examine import examine
from bmix.support import console
from bmix.training.loop import Trainer
from bmix.training.passes import PlainViews, confidence

SETTINGS = ["cifar", "pretrain.method=rotation", "pseudo.use=true"]
METHODS = ("cross-entropy", "from rotation", "with pseudo-labels")

Line = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_tail_runs", description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("tables", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--ratio", nargs="+", default=["10", "100"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--set", dest="edits", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    done = read_lines(arguments.results)
    read: dict[str, Manifest] = {}
    for seed in arguments.seeds:
        for ratio in arguments.ratio:
            run = {"ratio": ratio, "seed": seed, "edits": arguments.edits}
            finished = {line["method"] for line in done if all(line.get(key) == run[key] for key in run)}
            missing = [name for name in arguments.methods if name not in finished]
            if not missing:
                continue
            places = [f"data.path={arguments.tables / f'{ratio}.csv'}", f"data.root={arguments.pictures}"]
            seeds = [f"training.seed={seed}", f"pretrain.seed={seed}"]
            edits = [*SETTINGS, *places, *seeds, *arguments.edits]
            params = parse_params(apply_edits(read_yaml(Path("params.yaml")), expand_presets(edits)))
            if ratio not in read:
                read[ratio] = examine(params.data)[0]
            for name in missing:
                started = time.perf_counter()
                line = {**run, "method": name, **run_one(params, read[ratio], name)}
                done.append(line | {"seconds": round(time.perf_counter() - started, 1)})
                with arguments.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(done[-1]) + "\n")
                print(json.dumps(done[-1]), flush=True)
    print("\n".join(table([line for line in done if line.get("edits") == arguments.edits], arguments.ratio)))


def run_one(params: Params, manifest: Manifest, method: str) -> Line:
    """One of METHODS, on the labelled pictures, with the pool where it is asked for."""
    edits = {
        "pretrain": params.pretrain.model_copy(update={} if method == METHODS[1] else {"method": OFF}),
        "pseudo": params.pseudo.model_copy(update={"use": method == METHODS[2]}),
    }
    own = params.model_copy(update=edits)
    with tempfile.TemporaryDirectory() as name:
        pretrained = pretrained_once(own, manifest, Path(name))
        trainer, pseudo_UK = trained(own, manifest, manifest.labels("train"), pretrained)
    line = _errors(trainer, params, manifest)
    if pseudo_UK is not None:
        right = precision(pseudo_UK, manifest.true_labels("unlabelled"), 1)
        line |= {"labelled": int((pseudo_UK == 1).sum()), "of": len(pseudo_UK), "precision": right}
    return line


def table(lines: list[Line], ratios: list[str]) -> list[str]:
    """Rows of Markdown: error on test, and its difference to cross-entropy over the same seeds."""
    grid = paper_table("ssp-cifar")
    rows = [
        "| | " + " | ".join(f"ρ = {ratio} | gain" for ratio in ratios) + " |",
        "| --- |" + " --- |" * 2 * len(ratios),
    ]
    for method in METHODS:
        cells = [method]
        for ratio in ratios:
            by_seed, base = (_by_seed(lines, name, ratio) for name in (method, METHODS[0]))
            paper = published(grid, "cifar", method, f"ρ = {ratio}", "error")
            cells.append(_told(list(by_seed.values())) + (f" (paper {paper:.2f})" if paper else ""))
            gains = [base[seed] - by_seed[seed] for seed in by_seed if seed in base]
            cells.append("" if method == METHODS[0] else _told(gains, signed=True))
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def read_lines(path: Path) -> list[Line]:
    """The runs that are finished."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _by_seed(lines: list[Line], method: str, ratio: str) -> dict[int, float]:
    return {line["seed"]: line["test"] for line in lines if line["method"] == method and line["ratio"] == ratio}


def _told(values: list[float], signed: bool = False) -> str:
    if not values:
        return "–"
    mean = f"{statistics.fmean(values):+.1f}" if signed else f"{statistics.fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values) / len(values) ** 0.5:.1f}"


def _errors(trainer: Trainer, params: Params, manifest: Manifest) -> Line:
    """Top-1 error in percent on val and test."""
    errors: Line = {}
    for split in ("val", "test"):
        images = open_store(manifest, split, params.image_root, params.data.image_size)
        scores_NK = confidence(trainer.engine, images, PlainViews()).numpy()
        errors[split] = round(100 * top1(scores_NK, manifest.labels(split)).error, 2)
    return errors


if __name__ == "__main__":
    console.run(main)
