"""What the stage pseudo leaves, as training and evaluation read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bmix.data.stage_array import read_stage_array
from bmix.support.errors import InputError
from bmix.support.files import replaced, write_json
from bmix.support.readers import Made, read_object

LABELS_FILE, NOTE_FILE = "pseudo_labels.npy", "pseudo.json"
_MADE = Made.by_stage("what the stage pseudo writes", "pseudo")
COUNTS = ("present", "absent", "unknown")


def write_pseudo(folder: Path, labels_UK: np.ndarray, note: dict[str, Any]) -> None:
    """Write the labels of the split unlabelled, int8 (U, K) of 0, 1 and -1 for unknown, and what is known of them."""
    with replaced(folder / LABELS_FILE) as temporary, temporary.open("wb") as file:
        np.save(file, labels_UK.astype(np.int8))
    write_json(folder / NOTE_FILE, note)


def write_nothing(folder: Path, classes: int) -> None:
    """Write what the stage leaves where it is switched off."""
    write_pseudo(folder, np.zeros((0, classes), np.int8), {"use": False, "images": 0, "classes": []})


def read_pseudo(folder: Path, count: int, classes: int) -> np.ndarray | None:
    """The pseudo-labels of a split of `count` images, int8 (U, K) of 0, 1 and -1; None if the stage is switched off.

    Raises InputError if the file is missing, damaged, or of other data.
    """
    path = folder / LABELS_FILE
    labels_UK = read_stage_array(path, "pseudo", np.int8, count, classes)
    if labels_UK is not None and not np.isin(labels_UK, (-1, 0, 1)).all():
        strange = labels_UK[~np.isin(labels_UK, (-1, 0, 1))][0]
        raise InputError(
            str(path), f"a label {strange}", "1, 0, and -1 for unknown", "run that stage: dvc repro pseudo"
        )
    return labels_UK


def read_note(folder: Path) -> dict[str, Any] | None:
    """What is known of the pseudo-labels (see `stages.pseudo`); None if the stage is switched off. InputError else."""
    rules = {
        "use": ("true or false", lambda value: isinstance(value, bool)),
        "images": ("a whole number", lambda value: type(value) is int and value >= 0),
        "classes": ("a row per class", _are_rows),
    }
    note = read_object(folder / NOTE_FILE, rules, _MADE)
    return note if note["use"] else None


def _are_rows(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, dict)
        and isinstance(row.get("class"), str)
        and all(type(row.get(name)) is int for name in COUNTS)
        for row in value
    )
