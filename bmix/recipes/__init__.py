"""What happens in a step and at the end of an epoch: one recipe a file, found by its file's name.

A recipe `my-loss` is the class in `my_loss.py` that derives from Recipe, and has its section `recipes.my-loss` in
params.yaml, `{}` if it has no settings of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmix.support.errors import InputError, nearest

if TYPE_CHECKING:
    from bmix.recipes.shared.base import Recipe

_FOLDER = Path(__file__).parent


class _Recipes(Mapping[str, "type[Recipe]"]):
    """Every recipe under the name that `training.recipe` gives it; a recipe is imported when it is asked for."""

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(path.stem.replace("_", "-") for path in _FOLDER.glob("[a-z]*.py")))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def __getitem__(self, name: str) -> type[Recipe]:
        if name not in self:
            raise KeyError(name)
        from bmix.recipes.shared.base import Recipe

        module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
        own = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, Recipe) and value.__module__ == module.__name__
        ]
        if len(own) != 1:
            raise InputError(
                str(_FOLDER / f"{module.__name__.rpartition('.')[2]}.py"),
                f"{len(own)} classes that derive from Recipe",
                "one recipe a file",
                "derive one class from Recipe, and keep what recipes share in bmix/recipes/shared",
            )
        return own[0]


RECIPES: Mapping[str, type[Recipe]] = _Recipes()


def unknown_truth(name: str) -> InputError:
    """The refusal of a recipe that needs true labels where nobody knows them."""
    return InputError(
        "params.yaml, training.recipe",
        f"{name} trains on the true labels, and they are unknown",
        "labels whose truth is known",
        "inject noise (noise.kind), bring a column true in with the data, or choose another recipe",
    )


def check_task(name: str, single_label: bool) -> None:
    """InputError if images have exactly one class and the recipe works label by label, which means nothing then."""
    if single_label and not RECIPES[name].takes_single_label:
        fitting = [other for other in RECIPES if RECIPES[other].takes_single_label]
        raise InputError(
            "params.yaml, training.recipe",
            f"{name} treats every label by itself, and by model.task single-label an image has exactly one",
            f"one of {', '.join(fitting)}",
            "set training.recipe to one of them, or model.task to multi-label",
        )


def own_settings(name: str, values: Mapping[str, Any]) -> Any:
    """The recipe's own settings from its section of params.yaml; None for a recipe without any.

    Raises InputError for an unknown recipe, and for keys and values that its settings do not take.
    """
    if name not in RECIPES:
        remedy = f"correct it.{nearest(name, RECIPES)}"
        raise InputError("training.recipe", f"is {name!r}", f"one of {', '.join(RECIPES)}", remedy)
    from bmix.recipes.shared.settings import read_settings

    kind, where = RECIPES[name].Settings, f"recipes.{name}"
    if kind is not None:
        return read_settings(kind, values, where)
    if values:
        raise InputError(where, f"unknown key {next(iter(values))}", "no key: it has no settings", "remove it")
    return None
