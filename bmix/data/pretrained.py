"""What the stage pretrain leaves, as warm-up and evaluation read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bmix.support.files import write_csv, write_json
from bmix.support.readers import Column, Made, read_object, read_table

WEIGHTS, HISTORY, NOTE = "model.safetensors", "history.csv", "pretrain.json"
PRETRAINED_COLUMNS = ["epoch", "learning_rate", "loss", "accuracy", "spread"]
OFF = "off"
_MADE = Made.by_stage("what the stage pretrain writes", "pretrain")


@dataclass(frozen=True)
class Pretrained:
    """A finished pre-training: its method, how many images it saw, its history and the file of the backbone."""

    method: str
    images: int
    history: pd.DataFrame
    weights: Path


def write_note(folder: Path, method: str, images: int) -> None:
    """Write what ran."""
    write_json(folder / NOTE, {"method": method, "images": images})


def write_nothing(folder: Path) -> None:
    """Write what the stage leaves where nothing is pre-trained: a note that says so, and a history without an epoch."""
    write_csv(folder / HISTORY, pd.DataFrame(columns=PRETRAINED_COLUMNS))
    write_note(folder, OFF, images=0)


def read_pretrained(folder: Path) -> Pretrained | None:
    """What was pre-trained; None if nothing was. InputError if a file is missing or damaged."""
    rules = {
        "method": ("the name of a method, or off", lambda value: isinstance(value, str)),
        "images": ("a whole number", lambda value: type(value) is int and value >= 0),
    }
    note = read_object(folder / NOTE, rules, _MADE)
    if note["method"] == OFF:
        return None
    if not (folder / WEIGHTS).is_file():
        _MADE.refuse(folder / WEIGHTS, "no such file")
    columns = {name: Column("whole" if name == "epoch" else "number", nan=True) for name in PRETRAINED_COLUMNS}
    return Pretrained(note["method"], note["images"], read_table(folder / HISTORY, columns, _MADE), folder / WEIGHTS)
