"""All of params.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from bmix.models.registry import SINGLE_LABEL
from bmix.params.data import AuditParams, DataParams, NoiseParams
from bmix.params.learning import MethodParams, ModelParams, PretrainParams, PseudoParams, TrainingParams
from bmix.params.results import EvaluateParams, RetrainParams
from bmix.params.section import Section, one_of
from bmix.recipes import RECIPES
from bmix.sources.registry import SOURCES

PLACES = (("data", "path"), ("data", "root"), ("noise", "matrix"), ("model", "weights"), ("audit", "weights"))
"""Section and name of the keys whose value is the place of an input."""


class Params(Section):
    """All of params.yaml."""

    data: DataParams
    noise: NoiseParams
    audit: AuditParams
    pretrain: PretrainParams
    pseudo: PseudoParams
    model: ModelParams
    training: TrainingParams
    method: MethodParams
    recipes: dict[Annotated[str, one_of(RECIPES)], dict[str, bool | int | float | str]] = Field(
        description="the settings of each recipe's own, read by that recipe alone"
    )
    evaluate: EvaluateParams
    retrain: RetrainParams

    @property
    def single_label(self) -> bool:
        """Whether every image has exactly one class."""
        return self.model.task == SINGLE_LABEL

    @property
    def image_root(self) -> Path:
        """The folder that the manifest's paths start from."""
        source = SOURCES[self.data.source]
        made = source.makes_images or source.holds_features
        return Path("data/prepared/images") if made else Path(self.data.root)

    def flat(self) -> dict[str, Any]:
        """Every value that decides a run under its dotted key, in the file's order: `retrain` decides none."""
        return flat(self.model_dump(exclude={"retrain"}))


def flat(sections: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as values under their dotted keys, in their order."""
    values: dict[str, Any] = {}
    for key, value in sections.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return values


def known_keys() -> list[str]:
    """Every dotted key that params.yaml must hold; those of `recipes` are the recipes' own."""
    return [
        f"{name}.{key}"
        for name, field in Params.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        for key in field.annotation.model_fields
    ]
