"""The state of a run as files: tensors as safetensors, the rest as JSON; nothing is ever unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from bmix.support.files import replaced, write_text
from bmix.support.readers import Made, read_object
from bmix.training.epoch_tables import HISTORY_COLUMNS, MIXTURE_COLUMNS, SAMPLER_COLUMNS, EpochTables
from bmix.training.loop import Trainer
from bmix.training.verdict_history import VerdictHistory

SCHEMA = 2
_MADE = Made(
    "the state of a run",
    "a checkpoint: remove the folder and start again; models/warmup: dvc repro --force --single-item warmup",
)
STATE_FILES = MODEL, STATE, RECORDS = "model.safetensors", "state.safetensors", "state.json"


def save_run(trainer: Trainer, folder: Path) -> None:
    """Write model.safetensors, state.safetensors and state.json into `folder`; equal runs give equal bytes.

    All random numbers derive from the seed and the epoch, and the schedule from the epoch: no generator has a state.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _save_tensors(trainer.classifier.network.state_dict(), folder / MODEL)
    optimizer_state = {
        f"optimizer.{number}.{name}": torch.as_tensor(value)
        for number, slots in trainer.engine.optimizer.state_dict()["state"].items()
        for name, value in slots.items()
        if value is not None
    }
    recipe_state = {f"recipe.{name}": value for name, value in trainer.recipe.state().items()}
    average = {} if trainer.engine.average is None else trainer.engine.average.state()
    _save_tensors(optimizer_state | recipe_state | average | trainer.tables.verdicts.state(), folder / STATE)
    records = trainer.tables
    rows = {"history": records.history, "mixtures": records.mixtures, "sampler": records.sampler}
    content = {"schema": SCHEMA, "epoch": trainer.epoch, "engine": trainer.engine.state(), **rows}
    # On one line: the histograms of many classes and epochs are millions of numbers.
    write_text(folder / RECORDS, json.dumps(content, allow_nan=False, separators=(",", ":")) + "\n")


def load_run(trainer: Trainer, folder: Path) -> None:
    """Go on from what `save_run` wrote; InputError if it is incomplete, damaged, of another run or schema."""
    records = _read_records(folder / RECORDS, trainer.plan.epochs)
    weights, tensors = _read_tensors(folder / MODEL), _read_tensors(folder / STATE)
    try:
        trainer.classifier.network.load_state_dict(weights)
        _load_optimizer(trainer.engine.optimizer, tensors)
        recipe_state = {name.removeprefix("recipe."): v for name, v in tensors.items() if name.startswith("recipe.")}
        trainer.recipe.load_state(recipe_state)
        trainer.engine.load_state(records["engine"])
        if trainer.engine.average is not None:
            trainer.engine.average.load_state(tensors)
        verdicts = VerdictHistory.of_state(tensors, trainer.recipe.given_NK.shape)
    except (LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        _MADE.refuse(folder, f"does not fit this run ({' '.join(str(error).split())[:200]})")
    managed = [row["epoch"] for row in records["history"] if row["clean"] is not None]
    if list(verdicts.epochs) != managed:
        _MADE.refuse(
            folder / STATE, f"holds the verdicts of {len(verdicts.epochs)} epochs, and {len(managed)} have any"
        )
    trainer.tables = EpochTables(records["history"], records["mixtures"], records["sampler"], verdicts)
    trainer.epoch = records["epoch"]


def _read_records(path: Path, epochs: int) -> dict[str, Any]:
    """What `save_run` wrote as JSON, of a run of `epochs` epochs."""

    def is_rows(value: Any, columns: list[str]) -> bool:
        return isinstance(value, list) and all(isinstance(row, dict) and set(row) == set(columns) for row in value)

    rules = {
        "schema": (f"{SCHEMA}, which this version writes", lambda value: value == SCHEMA),
        "epoch": (f"a whole number to {epochs}", lambda value: type(value) is int and 0 <= value <= epochs),
        "engine": ("the state of the loss's scale", lambda value: isinstance(value, dict)),
        "history": ("the rows of history.csv", lambda value: is_rows(value, HISTORY_COLUMNS)),
        "mixtures": ("the rows of mixtures.parquet", lambda value: is_rows(value, MIXTURE_COLUMNS)),
        "sampler": ("the rows of sampler.csv", lambda value: is_rows(value, SAMPLER_COLUMNS)),
    }
    records = read_object(path, rules, _MADE)
    for name in ("history", "sampler"):
        if len(records[name]) != records["epoch"]:
            _MADE.refuse(path, f"{name} has {len(records[name])} rows, and {records['epoch']} epochs are done")
    return records


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        _MADE.refuse(path, f"cannot be read: {' '.join(str(error).split())[:200]}")


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    with replaced(path) as temporary:
        temporary.write_bytes(save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}))


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        kind, _, rest = key.partition(".")
        if kind == "optimizer":
            number, _, name = rest.partition(".")
            state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, slots in optimizer.state.items():
        for name, value in slots.items():
            if value.shape == parameter.shape:
                # In the parameter's own layout, which a file does not keep.
                slots[name] = torch.empty_like(parameter.detach()).copy_(value)
