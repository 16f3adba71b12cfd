"""How the report opens: what ran, so that the page can be read by itself. Times, revision and paths are MLflow's."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import bmix
from bmix.evaluation.results import Evaluation
from bmix.support.yaml_text import parse_yaml

LIBRARIES = ("torch", "torchvision", "numpy", "scikit-learn")
DEFAULTS = Path(__file__).parent / "default_params.yaml"
SEEDS = ("data", "noise", "audit", "training")


class Opening(NamedTuple):
    """heading: recipe and data. facts: name and text. differing: key, value, default of the settings."""

    heading: str
    facts: list[tuple[str, str]]
    differing: list[tuple[str, str, str]]


def opening(evaluation: Evaluation, settings: Mapping[str, Any]) -> Opening:
    """What ran. settings: the run's, by dotted key of params.yaml, against those that bmix comes with."""
    recipe, source = settings["training.recipe"], settings["data.source"]
    images, classes = evaluation.labels.given_NK.shape
    positives = int(evaluation.labels.given_NK.sum())
    facts = [
        ("Data", f"{source}, {_name(settings['data.path'])}: {images:,} training images, {classes} classes, "
                 f"{positives:,} given positives ({positives / max(images, 1):.1f} an image)"),
        ("Recipe", f"{recipe}, {len(evaluation.record.history)} epochs, {evaluation.record.warmup_epochs} of them "
                   f"warm-up; batches of {settings['training.batch_size']}, {settings['training.optimizer']}"),
        ("Model", f"{settings['model.backbone']} with head {settings['model.head']}, "
                  f"{settings['data.image_size']} pixels, weights {_name(settings['model.weights'])}"),
        ("Injected noise", _noise(evaluation, settings)),
        ("Seeds", ", ".join(f"{section} {settings[f'{section}.seed']}" for section in SEEDS)),
        ("Measured with", ", ".join(versions())),
    ]  # fmt: skip
    return Opening(f"{recipe} on {source}", facts, differing(settings, recipe))


def differing(settings: Mapping[str, Any], recipe: str) -> list[tuple[str, str, str]]:
    """Key, value and default of every setting that is not at its default, in the order of the settings.

    The defaults are those of DEFAULTS. Of `recipes` only the settings of the recipe that ran count.
    """
    sections = parse_yaml(DEFAULTS.read_text(encoding="utf-8"))
    recipes = {f"recipes.{name}": own for name, own in sections.pop("recipes").items()}
    defaults = {f"{name}.{key}": value for name, own in (sections | recipes).items() for key, value in own.items()}
    found = []
    for key, value in settings.items():
        read = not key.startswith("recipes.") or key.startswith(f"recipes.{recipe}.")
        if read and (key not in defaults or defaults[key] != value):
            found.append((key, _text(value), _text(defaults[key]) if key in defaults else "–"))
    return found


def versions() -> list[str]:
    """bmix, Python and the libraries that decide results, with their versions; no local version parts."""
    python = ".".join(platform.python_version_tuple()[:2])
    return [
        f"bmix {bmix.__version__}",
        f"Python {python}",
        *(f"{name} {metadata.version(name).partition('+')[0]}" for name in LIBRARIES),
    ]


def _noise(evaluation: Evaluation, settings: Mapping[str, Any]) -> str:
    kind, rate = settings["noise.kind"], settings["noise.rate"]
    asked = "none" if kind == "none" else f"{kind}, rate {100 * rate:g} %"
    if evaluation.true is None:
        return f"{asked}; which of the given labels are wrong is not known"
    given_NK = evaluation.labels.given_NK
    wrong = int((given_NK & ~evaluation.true).sum())
    missing = int((evaluation.true & ~given_NK).sum())
    share = 100 * wrong / max(int(given_NK.sum()), 1)
    return f"{asked}; {wrong:,} given positives are wrong ({share:.1f} %), and {missing:,} positives are missing"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _name(value) if isinstance(value, str) else f"{value}"


def _name(place: str) -> str:
    """A path without the folders of one machine; any other text as it is."""
    path = PurePath(place)
    return f"…/{path.name}" if path.is_absolute() else place
