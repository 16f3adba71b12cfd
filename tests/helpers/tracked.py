"""The outputs of all stages as docs/architecture.md lists them, made up, with the dvc.lock that would hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bmix.data import pretrained, pseudo
from bmix.params import load_params
from bmix.support.files import write_csv, write_json, write_parquet, write_text
from bmix.support.spreadsheet import write_named_csv
from bmix.workspace.locked import digest
from tests.helpers.tiny import write_params

CLASSES = ["ant", "bee", "cat (wild)"]
EPOCHS, WARMUP_EPOCHS = 6, 3
VERDICTS = ("clean", "relabelled", "ambiguous")
OUTPUTS = {
    "prepare": "data/prepared",
    "noise": "data/noisy",
    "audit": "data/audit",
    "pretrain": "models/pretrained",
    "warmup": "models/warmup",
    "pseudo": "data/pseudo",
    "train": "models/final/model.safetensors",
    "evaluate": "metrics.json",
}


def write_project(
    folder: Path, *edits: str, version: int = 0, finished: float = 70.0, data: int = 0, code: int = 0
) -> Path:
    """A project in `folder` whose stages have all run; another `version` has other outputs with the same params.

    data: the number of labels that differ from the first data set. code: which version of the code ran.
    """
    write_params(folder, f"training.epochs={EPOCHS}", f"training.warmup_epochs={WARMUP_EPOCHS}", *edits)
    _write_data(folder, data)
    _write_training(folder, version)
    _write_evaluation(folder, finished)
    write_lock(folder, version + data, code)
    return folder


def write_lock(folder: Path, version: int = 0, code: int = 0, **stage_versions: int) -> None:
    """A dvc.lock with the params of params.yaml; a stage of another version has other outputs."""
    flat = load_params(folder / "params.yaml").flat()
    sections = {
        "prepare": "data",
        "noise": "noise",
        "audit": "audit",
        "pretrain": "pretrain",
        "warmup": "training",
        "pseudo": "pseudo",
        "train": "method",
        "evaluate": "evaluate",
    }
    stages: dict[str, Any] = {}
    for stage in sections:
        values = {key: value for key, value in flat.items() if key.startswith(f"{sections[stage]}.")}
        made = digest([stage, flat, stage_versions.get(stage, version)])
        stages[stage] = {
            "cmd": f"python -m stages.{stage}",
            "deps": [{"path": f"stages/{stage}.py", "hash": "md5", "md5": digest([stage, code])}],
            "params": {"params.yaml": values},
            "outs": [{"path": OUTPUTS[stage], "hash": "md5", "md5": made, "size": 1}],
        }
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}), encoding="utf-8")


def _write_data(folder: Path, changed: int) -> None:
    rows = range(30)
    splits = ["train"] * 20 + ["val"] * 5 + ["test"] * 5
    labels = [[CLASSES[(row + (row < changed)) % 3]] for row in rows]
    names = [f"{row:03d}" for row in rows]
    frame = pd.DataFrame({"id": names, "path": names, "split": splits, "labels": labels, "digest": "0" * 16})
    frame["ignore"] = [[] for _ in rows]
    write_parquet(folder / "data/prepared/manifest.parquet", frame)
    write_parquet(folder / "data/noisy/labels.parquet", frame[["id"]][:20].assign(given=labels[:20], true=labels[:20]))
    write_json(folder / "data/prepared/classes.json", CLASSES)
    write_json(folder / "data/audit/noise_estimate.json", {"features": "off", "splits": {}})
    pretrained.write_nothing(folder / "models/pretrained")
    pseudo.write_nothing(folder / "data/pseudo", len(CLASSES))
    facts = {
        "images": {"train": 20, "val": 5, "test": 5},
        "classes": {name: {"group": "few", "positives": {"train": 7}} for name in CLASSES},
        "labels_per_image": {"train": {"mean": 1.0, "max": 1}},
        "imbalance_ratio": 1.2,
        "positive_negative_ratio": None,
        "groups": {"many": [], "medium": [], "few": CLASSES},
        "membership": {"train": "0123456789abcdef", "test": "fedcba9876543210"},
    }
    write_json(folder / "data/prepared/facts.json", facts)
    (folder / "data/prepared/classes.png").write_bytes(b"a picture")
    noise = {"kind": "mislabel", "rate": 0.4, "measured": {"overall": 0.39, "per_class": [{"rate": 0.4}] * 3}}
    write_json(folder / "data/noisy/noise.json", noise)


def _write_training(folder: Path, version: int) -> None:
    rng = np.random.default_rng(version)
    epochs = np.arange(1, EPOCHS + 1)
    warm = epochs <= WARMUP_EPOCHS
    history: dict[str, Any] = {"epoch": epochs, "phase": np.where(warm, "warmup", "managed")}
    for name in ("learning_rate", "train_loss", "given_loss", "val_map"):
        history[name] = rng.random(EPOCHS)
    for name in [*VERDICTS, *(f"{verdict}_positives" for verdict in VERDICTS)]:
        history[name] = np.where(warm, np.nan, rng.random(EPOCHS))
    for name in ("clean_precision", "relabel_recall_positives"):
        history[name] = np.where(warm, np.nan, rng.random(EPOCHS))
    write_csv(folder / "history.csv", pd.DataFrame(history))
    quantiles = ["minimum", "p10", "median", "p90", "maximum", "effective_size"]
    write_csv(folder / "sampler.csv", pd.DataFrame({"epoch": epochs, **dict.fromkeys(quantiles, 1.0)}))
    parameters = [f"{name}_{component}" for name in ("mean", "variance", "weight") for component in (0, 1)]
    mixtures = [
        {"epoch": epoch, "class": name, "given": given, "count": 9, "degenerate": name == "ant" and given == 1}
        | {parameter: float(rng.random()) for parameter in parameters}
        | {"histogram": [1] * 60}
        for epoch in range(WARMUP_EPOCHS, EPOCHS + 1)
        for name in CLASSES
        for given in (0, 1)
    ]
    write_parquet(folder / "mixtures.parquet", pd.DataFrame(mixtures))
    counts = {"clean": 6, "relabelled": 1, "ambiguous": 3, "degenerate": False}
    classes = {name: {"positives": counts, "negatives": counts} for name in CLASSES}
    write_json(folder / "verdicts.json", {"managed": True, "epsilon": 0.975, "classes": classes})
    verdict = {
        "id": "000",
        "class": "ant",
        "given": 1,
        "p_clean": 0.2,
        "log_odds": -1.386,
        "verdict": "ambiguous",
        "label": 1,
        "weight": 0.2,
    }
    write_parquet(folder / "verdicts.parquet", pd.DataFrame([verdict]))


def _write_evaluation(folder: Path, result: float) -> None:
    metrics = {
        "mAP": {"all": result / 100, "many": None, "medium": 0.8, "few": 0.6},
        "test-balanced": {"all": 0.66, "few": 0.6},
        "detection": {"precision": 0.9, "recall": 0.5, "recall_positives": 0.7},
        "repair": {"repaired": 0.4, "broken": 0.01},
    }
    write_json(folder / "metrics.json", metrics)
    classes = pd.DataFrame({"class": CLASSES, "group": "few", "ap": [0.5, 0.25, None], "ap_balanced": 0.75})
    write_named_csv(folder / "plots" / "classes.csv", classes)
    transition = pd.DataFrame({"class": "ant", "true": [0, 1], "given": [1, 0], "refined": [0, 1], "count": 1})
    write_named_csv(folder / "plots" / "transition.csv", transition)
    write_text(folder / "report.html", "<h1>report</h1>\n")
    for name in ("mixtures.png", "transition.png"):
        write_text(folder / "plots" / name, f"{name}\n")
