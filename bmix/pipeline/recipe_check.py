"""The recipe's own settings are refused before any stage runs, and what it needs is looked up."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bmix
from bmix.pipeline.data_check import remember, remembered
from bmix.support.errors import InputError

if TYPE_CHECKING:
    from bmix.params import Params


def check_recipe(params: Params, memo: Path) -> bool:
    """Whether the recipe needs true labels; InputError if it has no section, settings in it that it does not take, or
    no meaning for the task.

    memo: a file that remembers a success, by the recipe, its settings and the state of its file: a recipe is imported
    with torch, which takes seconds.
    """
    name = params.training.recipe
    if name not in params.recipes:
        raise InputError(
            "params.yaml, recipes",
            f"no section {name}, which training.recipe names",
            "a section of the recipe that runs: DVC tracks it",
            f"add the line `{name}: {{}}` below recipes, or the settings that are not to have their defaults",
        )
    settings = params.recipes[name]
    state = [bmix.__version__, name, settings, params.model.task, _file_state(name)]
    match remembered(memo):
        case {"of": known, "needs_truth": bool(needs_truth)} if known == state:
            return needs_truth
    from bmix.recipes import RECIPES, check_task, own_settings

    own_settings(name, settings)
    check_task(name, params.single_label)
    needs_truth = RECIPES[name].needs_truth
    remember(memo, {"of": state, "needs_truth": needs_truth})
    return needs_truth


def _file_state(name: str) -> Any:
    spec = find_spec(f"bmix.recipes.{name.replace('-', '_')}")
    if spec is None or spec.origin is None:
        return None
    status = Path(spec.origin).stat()
    return [status.st_size, status.st_mtime_ns]
