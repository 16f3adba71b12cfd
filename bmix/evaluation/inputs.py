"""What evaluation reads: the files that train wrote, and the model's scores on the splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bmix.data.manifest import Manifest, quoted
from bmix.data.stores import open_store
from bmix.evaluation.predict import predict_confidence
from bmix.evaluation.results import TrainingTables
from bmix.models.store import Classifier
from bmix.support.errors import InputError
from bmix.support.files import read_json

Predictions = dict[str, tuple[np.ndarray, np.ndarray]]


def read_run(folder: Path) -> tuple[TrainingTables, pd.DataFrame]:
    """The record of a run and its verdicts, from the files that the stage train wrote into `folder`.

    Raises InputError for a file that is missing.
    """
    for name in ("history.csv", "mixtures.parquet", "sampler.csv", "verdicts.json", "verdicts.parquet"):
        if not (folder / name).is_file():
            raise InputError(
                str(folder / name), "no such file", "an output of the stage train", "run that stage: dvc repro"
            )
    summary = read_json(folder / "verdicts.json")
    record = TrainingTables(
        history=pd.read_csv(folder / "history.csv"),
        mixtures=pd.read_parquet(folder / "mixtures.parquet"),
        sampler=pd.read_csv(folder / "sampler.csv"),
        managed=summary["managed"],
        epsilon=summary["epsilon"],
    )
    return record, pd.read_parquet(folder / "verdicts.parquet")


def measured_splits(manifest: Manifest, split: str) -> list[str]:
    """The split of the result, then every further test split (`test-NAME`).

    Raises InputError where the data has no such split.
    """
    splits = manifest.splits()
    if split not in splits:
        raise InputError(
            "params.yaml",
            f"evaluate.split is {split}, and no image is in that split",
            f"one of {', '.join(name for name in splits if name not in ('train', 'unlabelled'))}",
            "correct evaluate.split, or give images that split",
        )
    return [split, *(name for name in splits if name.startswith("test-") and name != split)]


def predict_splits(classifier: Classifier, manifest: Manifest, image_root: Path, splits: list[str]) -> Predictions:
    """By split the confidences, float32 (N, K), and the labels, int8 (N, K) with -1 for ignored cells.

    The labels are the true ones where the source knows them, else the given. Raises InputError if the model's classes
    are not the manifest's.
    """
    if list(classifier.classes) != manifest.classes:
        raise InputError(
            "models/final/model.json",
            f"a model of the classes {quoted(classifier.classes)}",
            f"the classes of the data: {quoted(manifest.classes)}",
            "train on this data: run the stages from warmup on again",
        )
    predictions = {}
    for split in splits:
        images = open_store(manifest, split, image_root, classifier.spec.image_size)
        true_NK = manifest.true_labels(split)
        given_NK = manifest.labels(split) if true_NK is None else true_NK
        labels_NK = np.where(manifest.ignored(split), -1, given_NK.astype(np.int8))
        predictions[split] = (predict_confidence(classifier, images).cpu().numpy(), labels_NK)
    return predictions
