"""What evaluation reads: the files that train wrote, and the model's scores on the splits."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bmix.data.manifest import Manifest, quoted
from bmix.data.stores import open_store
from bmix.evaluation.predict import predict
from bmix.evaluation.results import TrainingTables
from bmix.evaluation.verdicts import VERDICTS
from bmix.models.store import Classifier
from bmix.support.errors import InputError, listed
from bmix.support.readers import Column, Made, read_object, read_table

_SHARE = Column("number", 0, 1, nan=True)
_MADE = Made.by_stage("an output of the stage train", "train")

HISTORY = {
    "epoch": Column("whole", 1),
    "phase": Column("text", among=("warmup", "managed", "plain")),
    "learning_rate": Column("number", 0),
    "train_loss": Column("number", nan=True),
    "given_loss": Column("number", nan=True),
    "val_map": _SHARE,
    **{f"{name}{of}": _SHARE for of in ("", "_positives") for name in VERDICTS},
    **{
        f"{what}_{score}{of}": _SHARE
        for of in ("", "_positives")
        for what in ("clean", "relabel")
        for score in ("precision", "recall")
    },
}
SAMPLER = {
    "epoch": Column("whole", 1),
    **{name: Column("number", 0) for name in ("minimum", "p10", "median", "p90", "maximum", "effective_size")},
}
PARAMETERS = [f"{name}_{component}" for name in ("mean", "variance", "weight") for component in (0, 1)]
MIXTURES = {
    "epoch": Column("whole", 1),
    "class": Column("text"),
    "given": Column("whole", 0, 1),
    "count": Column("whole", 0),
    "degenerate": Column("flag"),
    **{name: Column("number", float("-inf") if name in PARAMETERS[:2] else 0, nan=True) for name in PARAMETERS},
    "histogram": Column("wholes", 0, length=60),
}
VERDICT_COLUMNS = {
    "id": Column("text"),
    "class": Column("text"),
    "given": Column("whole", 0, 1),
    "p_clean": Column("number", 0, 1),
    "log_odds": Column("number"),
    "verdict": Column("text", among=tuple(VERDICTS)),
    "label": Column("whole", 0, 1),
    "weight": Column("number", 0, 1),
}
_SUMMARY = {
    "managed": ("true or false", lambda value: isinstance(value, bool)),
    "epsilon": ("a number from 0.5 to 1", lambda value: type(value) in (int, float) and 0.5 <= value <= 1),
}


class SplitPrediction(NamedTuple):
    """What a model says of a split: confidences and their logits, float32 (N, K); the labels as `predict_splits`."""

    confidence: np.ndarray
    labels: np.ndarray
    logits: np.ndarray


def read_run(folder: Path, classes: list[str]) -> tuple[TrainingTables, pd.DataFrame]:
    """The record of a run and its verdicts, from the files that the stage train wrote into `folder`.

    Raises InputError, with the row or key, for a file that is missing, damaged, or holds what train does not write.
    """
    summary = read_object(folder / "verdicts.json", _SUMMARY, _MADE)
    history = _of_epochs(folder / "history.csv", HISTORY)
    record = TrainingTables(
        history=history,
        mixtures=read_mixtures(folder / "mixtures.parquet", classes),
        sampler=_of_epochs(folder / "sampler.csv", SAMPLER, len(history)),
        managed=summary["managed"],
        epsilon=summary["epsilon"],
    )
    return record, read_table(folder / "verdicts.parquet", VERDICT_COLUMNS, _MADE)


def _of_epochs(path: Path, columns: dict[str, Column], epochs: int | None = None) -> pd.DataFrame:
    """A table with a row for each epoch from 1 on, and for `epochs` of them."""
    table = read_table(path, columns, _MADE)
    expected = range(1, (len(table) if epochs is None else epochs) + 1)
    if not len(table) or table["epoch"].tolist() != list(expected):
        _MADE.refuse(
            path, f"rows of the epochs {listed(map(str, table['epoch'])) or 'none'}", "each epoch once, from 1 on"
        )
    return table


def read_mixtures(path: Path, classes: list[str]) -> pd.DataFrame:
    """mixtures.parquet: empty, or with a row for each class and given value in its last epoch; InputError else."""
    table = read_table(path, MIXTURES, _MADE)
    last = table[table["epoch"] == table["epoch"].max()] if len(table) else table
    found = list(zip(last["class"], last["given"], strict=True))
    expected = {(name, given) for name in classes for given in (0, 1)}
    if found and (len(found) != len(expected) or set(found) != expected):
        _MADE.refuse(
            path, f"{len(found)} rows of the last epoch", f"one for each of {len(expected)} classes and given values"
        )
    return table


def measured_splits(manifest: Manifest, split: str) -> list[str]:
    """The split of the result, then every further test split (`test-NAME`).

    Raises InputError if the data has no such split.
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


def predict_splits(
    classifier: Classifier, manifest: Manifest, image_root: Path, splits: list[str]
) -> dict[str, SplitPrediction]:
    """By split what the model says, and the labels, int8 (N, K) with -1 for ignored cells.

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
        confidence_NK, logits_NK = (values.cpu().numpy() for values in predict(classifier, images))
        predictions[split] = SplitPrediction(confidence_NK, labels_NK, logits_NK)
    return predictions
