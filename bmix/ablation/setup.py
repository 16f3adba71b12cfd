"""The set-up that a table was run in, and where it differs from the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bmix.ablation.cells import Cell
from bmix.params import flat, read_yaml
from bmix.pipeline.presets import FOLDER

_WORDS = {
    "data.source": "data",
    "data.path": "read from",
    "data.image_size": "image size",
    "data.augment": "augmentation",
    "model.backbone": "backbone",
    "model.head": "head",
    "model.weights": "weights at the start",
    "training.epochs": "epochs",
    "training.warmup_epochs": "warm-up epochs",
    "training.batch_size": "batch",
    "training.optimizer": "optimiser",
    "training.learning_rate": "learning rate",
    "training.weight_decay": "weight decay",
    "training.average": "moving average of the weights",
    "training.precision": "precision",
    "method.sharpness": "sharpness",
    "method.audit": "audit",
    "evaluate.split": "measured on",
    "evaluate.many": "many-shot from",
    "evaluate.medium": "medium-shot from",
}
_NOT_COMPARED = {"data.path"}
_SHARED = object()


def shared_settings(cells: Sequence[Cell]) -> dict[str, Any]:
    """The settings that all cells have, by what the page calls them; those that the cells vary are left out."""
    flats = [cell.params.flat() for cell in cells]
    return {
        words: flats[0][key] for key, words in _WORDS.items() if all(values[key] == flats[0][key] for values in flats)
    }


def differences_to_paper(cells: Sequence[Cell], data: str, folder: Path = FOLDER) -> list[tuple[str, Any, Any]]:
    """Where the set-up that all cells share differs from the paper's on one of its data sets: (what, ours, paper's).

    data: coco, voc or deepfashion, whose set-up is the preset `paper-DATA`; none is known without it.
    """
    path = folder / f"paper-{data}.yaml"
    if not path.is_file():
        return []
    paper = {_WORDS[key]: value for key, value in flat(read_yaml(path)).items() if key in _WORDS.keys() - _NOT_COMPARED}
    ours = shared_settings(cells)
    return [
        (words, ours[words], value)
        for words, value in paper.items()
        if ours.get(words, _SHARED) not in (value, _SHARED)
    ]
