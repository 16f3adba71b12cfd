"""Golden runs: what three epochs of a tiny run come to, kept in three_epochs.json.

A change that alters no result leaves the file as it is; one that does is written with
`python -m tests.training.golden`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bmix.method.settings import MethodSettings
from bmix.training.loop import Trainer
from tests.helpers.runs import build_run, write_images

FILE = Path(__file__).parent / "three_epochs.json"
RUNS = {
    "bce": ("bce", "step"),
    "mixup": ("mixup", "step"),
    "balancemix, audit step": ("balancemix", "step"),
    "balancemix, audit epoch": ("balancemix", "epoch"),
}
IMAGES = 96


def golden_trainer(folder: Path, run: str) -> Trainer:
    """The run before its first epoch; its images are written into `folder`."""
    torch.set_num_threads(1)
    recipe, audit = RUNS[run]
    paths, labels_NK = write_images(folder, IMAGES)
    given_NK = labels_NK ^ (np.random.default_rng(1).random(labels_NK.shape) < 0.2)
    settings = MethodSettings(audit=audit, epsilon=0.6)
    return build_run(paths, given_NK, recipe, settings, epochs=3, warmup_epochs=1)


def result(trainer: Trainer) -> dict[str, Any]:
    """Losses and counts of verdicts per epoch, and the counts of the closing verdicts."""
    labels = trainer.recipe.given_NK.numel()
    rows = [
        {
            "train_loss": row["train_loss"],
            "given_loss": row["given_loss"],
            **{name: row[name] and round(row[name] * labels) for name in ("clean", "relabelled", "ambiguous")},
        }
        for row in trainer.tables.history
    ]
    verdicts = torch.bincount(trainer.close().verdict_NK.flatten().long(), minlength=3)
    return {"epochs": rows, "closing verdicts": verdicts.tolist()}


def main() -> None:
    """Write the file anew."""
    found = {}
    for run in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            trainer = golden_trainer(Path(folder), run)
            while trainer.epoch < 3:
                trainer.train_epoch()
            found[run] = result(trainer)
    FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
