"""What a trained network is rebuilt and fed by: the content of model.json."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bmix.models.backbones import normalisation
from bmix.models.heads import HeadSettings
from bmix.models.registry import BACKBONES, HEADS, MULTI_LABEL, SINGLE_LABEL, TASKS, is_backbone
from bmix.support.errors import listed
from bmix.support.readers import Made, read_json_file, shown

ALWAYS_WRITTEN = ("queries", "features")
"""Keys written even at their default; every other setting is left out at its default."""


@dataclass(frozen=True)
class ClassifierSpec:
    """How a trained network is rebuilt and fed; the content of model.json.

    `features`: how many the backbone identity takes, which has no use for the image size, the mean and the deviation;
    None for the other backbones. `members`: how many networks predict as one. `task`: one of TASKS. The others: see
    HeadSettings.
    """

    backbone: str
    head: str
    image_size: int
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    queries: int = 0
    features: int | None = None
    hidden: int = 0
    norm: str = "batch"
    dropout: float = 0.0
    members: int = 1
    prototypes: int = 5
    sigma: float = 10.0
    diversity: float = 1.0
    task: str = MULTI_LABEL

    @classmethod
    def of(
        cls,
        backbone: str,
        head: str,
        image_size: int,
        classes: Sequence[str],
        head_settings: HeadSettings | None = None,
        features: int | None = None,
        members: int = 1,
        task: str = MULTI_LABEL,
    ) -> ClassifierSpec:
        """The spec of a new model, with its backbone's normalisation."""
        mean, std = normalisation(backbone)
        settings = asdict(head_settings or HeadSettings())
        names = tuple(classes)
        return cls(
            backbone, head, image_size, names, mean, std, features=features, members=members, task=task, **settings
        )

    @property
    def single_label(self) -> bool:
        """Whether every image has exactly one class."""
        return self.task == SINGLE_LABEL

    @property
    def head_settings(self) -> HeadSettings:
        """The head's settings."""
        return HeadSettings.of(self)

    def content(self) -> dict[str, Any]:
        """The content of model.json; settings at their default are left out, but for ALWAYS_WRITTEN."""
        defaults = {field.name: field.default for field in fields(self) if field.name not in ALWAYS_WRITTEN}
        return {name: value for name, value in asdict(self).items() if value != defaults.get(name, MISSING)}


def read_spec(path: Path) -> ClassifierSpec:
    """The spec in a model.json; InputError if the file is missing, corrupt, or of keys or values that no model has."""
    made = Made(
        "the model's description", "give a folder that bmix wrote a model to, such as models/final, or train again"
    )
    content = read_json_file(path, made)
    rules = {
        "backbone": (
            f"one of {', '.join(BACKBONES)}, timm/NAME",
            lambda value: isinstance(value, str) and is_backbone(value),
        ),
        "head": (f"one of {', '.join(HEADS)}", lambda value: isinstance(value, str) and value in HEADS),
        "image_size": ("a whole number of at least 1", lambda value: type(value) is int and value >= 1),
        "classes": ("a list of class names, none twice", _is_names),
        "mean": ("three numbers", _is_triple),
        "std": ("three numbers above 0", lambda value: _is_triple(value) and min(value) > 0),
        "queries": ("a whole number of at least 0", lambda value: type(value) is int and value >= 0),
        "hidden": ("a whole number of at least 0", lambda value: type(value) is int and value >= 0),
        "norm": ("batch or none", lambda value: value in ("batch", "none")),
        "dropout": ("a number from 0 to below 1", lambda value: type(value) in (int, float) and 0 <= value < 1),
        "prototypes": ("a whole number from 1 to 1000", lambda value: type(value) is int and 1 <= value <= 1000),
        "sigma": ("a number above 0", lambda value: type(value) in (int, float) and 0 < value < math.inf),
        "diversity": ("a number of at least 0", lambda value: type(value) in (int, float) and 0 <= value < math.inf),
        "task": (f"one of {', '.join(TASKS)}", lambda value: value in TASKS),
        "members": ("a whole number from 1 to 100", lambda value: type(value) is int and 1 <= value <= 100),
        "features": (
            "a whole number of at least 1 for the backbone identity, null for the others",
            lambda value: type(value) is int and value >= 1 if content["backbone"] == "identity" else value is None,
        ),
    }
    # Models written before these settings lack them.
    later = {field.name: field.default for field in fields(ClassifierSpec) if field.default is not MISSING}
    content = later | content if isinstance(content, dict) else content
    if not isinstance(content, dict) or set(content) != set(rules):
        found = f"keys {listed(sorted(content), 20)}" if isinstance(content, dict) else type(content).__name__
        made.refuse(path, found, f"the keys {', '.join(rules)}")
    for key, (expected, fits) in rules.items():
        if not fits(content[key]):
            made.refuse(path, f"{key} is {shown(content[key])}", expected)
    sequences = {key: tuple(content[key]) for key in ("classes", "mean", "std")}
    return ClassifierSpec(**{**content, **sequences})


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(n, str) for n in value) and 0 < len(value) == len(set(value))


def _is_triple(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 3 and all(type(v) in (int, float) and math.isfinite(v) for v in value)
    )
