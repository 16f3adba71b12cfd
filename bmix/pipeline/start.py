"""Runs that start from an earlier one: its model as first weights, and what more epochs mean."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

from bmix.params import Params, parse_params
from bmix.pipeline.checks import edited_params, output_around
from bmix.support.files import replaced_folder
from bmix.workspace.locked import locked_entries, locked_params

KEPT = Path("data/pretrained")
"""Where models are copied to that the pipeline would remove before it reads them."""
_FILES = ("model.json", "model.safetensors")


def run_params(edits: list[str]) -> tuple[dict[str, Any], Params]:
    """The content of params.yaml with edits applied, plain and typed, as a run with these edits takes them.

    As `edited_params`, but that a model to start from is kept, see `with_kept_weights`. In params.yaml itself one that
    the pipeline would remove is left as it is, for `check_inputs` to refuse.
    """
    content, params = edited_params(edits)
    return with_kept_weights(content, params) if edits else (content, params)


def with_kept_weights(content: dict[str, Any], params: Params) -> tuple[dict[str, Any], Params]:
    """The params with a model among the pipeline's outputs, as `model.weights: models/final`, replaced by a copy of it.

    The copy bears a digest of the weights in its name: DVC tracks weights by their path, and a retrained model makes
    another run. What is no such folder is returned as it is.
    """
    folder = Path(params.model.weights)
    if not all((folder / name).is_file() for name in _FILES) or output_around(folder) is None:
        return content, params
    # numpy comes with it, which most commands do without.
    from bmix.models.calibration import weights_digest

    kept = KEPT / f"{folder.name}-{weights_digest(folder / _FILES[1])[:8]}"
    if not kept.is_dir():
        with replaced_folder(kept) as temporary:
            for name in _FILES:
                shutil.copy(folder / name, temporary / name)
    edited = copy.deepcopy(content)
    edited["model"]["weights"] = str(kept)
    return edited, parse_params(edited)


def other_epochs(params: Params, folder: Path = Path()) -> list[str]:
    """What it means that training.epochs alone differs from the last run in `folder`; no lines if it does not."""
    locked = locked_params([locked_entries(folder / "dvc.lock").get("train", {})])
    before, now = locked.get("training.epochs"), params.training.epochs
    values = params.flat()
    others = {key for key, value in locked.items() if key in values and values[key] != value} - {"training.epochs"}
    if not isinstance(before, int) or before == now or others:
        return []
    told = f"training.epochs is {now}, and the last run had {before}"
    schedule = params.training.schedule
    if schedule == "constant":
        if now < before:
            return [f"{told}: training starts anew, from the end of the warm-up"]
        return [f"{told}: the learning rate is constant, so training goes on from there, if its checkpoint is kept"]
    return [
        f"{told}: the schedule {schedule} spans all epochs, so that training starts anew",
        "  to go on from the model of that run instead: --set model.weights=models/final, with a lower learning rate",
        "  for runs that can be made longer: training.schedule=constant (docs/training.md)",
    ]
