"""In a copy of the project: the model of models/warmup over the data, class by class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bmix.ablation.analyses.confidence import TABLE
from bmix.data.manifest import read_manifest
from bmix.data.noisy import read_labels
from bmix.evaluation.inputs import predict_splits
from bmix.evaluation.metrics import average_precision
from bmix.params import load_params
from bmix.support import console
from bmix.support.spreadsheet import write_named_csv
from bmix.training.run import build_trainer
from bmix.training.state import load_run


def main() -> None:
    """Write the table: positives given in training, mean confidence in them, average precision on evaluate.split."""
    params, manifest = load_params(), read_manifest(Path("data/prepared"))
    _, given_NK, true_NK = read_labels(Path("data/noisy"), manifest)
    trainer = build_trainer(params, manifest, given_NK, true_NK=true_NK)
    load_run(trainer, Path("models/warmup"))
    split = params.evaluate.split
    predicted = predict_splits(trainer.classifier, manifest, params.image_root, ["train", split])
    confidence_NK, given = predicted["train"].confidence, given_NK.astype(bool)
    positives_K = given.sum(axis=0)
    sums_K = np.where(given, confidence_NK, 0).sum(axis=0, dtype=float)
    columns = {
        "class": manifest.classes,
        "positives": positives_K,
        "confidence": np.divide(sums_K, positives_K, out=np.full(len(positives_K), np.nan), where=positives_K > 0),
        "ap": average_precision(predicted[split].confidence, predicted[split].labels),
    }
    write_named_csv(TABLE, pd.DataFrame(columns))


if __name__ == "__main__":
    console.run(main, "bmix.ablation.analyses.warmup_pass", __doc__)
