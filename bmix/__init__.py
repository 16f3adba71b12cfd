"""BalanceMix: multi-label classification on imbalanced data with wrong labels."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bmix.audit.labels import LabelAudit
    from bmix.method.mixing import mix, mixing_coefficient
    from bmix.method.objective import balancemix_loss
    from bmix.models.store import Classifier
    from bmix.own_loop.labels import ManagedLabels
    from bmix.own_loop.sampler import MinoritySampler

__version__ = "0.1.0"
__all__ = [
    "ManagedLabels",
    "MinoritySampler",
    "audit_labels",
    "balancemix_loss",
    "load_model",
    "mix",
    "mixing_coefficient",
]
_MODULES = {
    "ManagedLabels": "bmix.own_loop.labels",
    "MinoritySampler": "bmix.own_loop.sampler",
    "balancemix_loss": "bmix.method.objective",
    "mix": "bmix.method.mixing",
    "mixing_coefficient": "bmix.method.mixing",
}


def __getattr__(name: str) -> Any:
    """The names that need torch, which takes seconds to import, when they are first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def load_model(folder: str | Path) -> Classifier:
    """Load a trained model from its folder (`models/final`), ready for `.predict(images)`.

    Raises InputError if the folder lacks `model.json` or `model.safetensors` or they do not fit each other.
    """
    # torch takes seconds to import; the commands that only read files do without it.
    from bmix.models.store import load_classifier

    return load_classifier(Path(folder))


def audit_labels(
    features: Any, given: Any, folds: int = 5, seed: int = 0, class_names: list[str] | None = None
) -> LabelAudit:
    """Which of the given labels (N, K) are wrong, by models on the features (N, D) that never saw them.

    What is taken, given back and refused: `bmix.audit.arrays.audit_labels`.
    """
    from bmix.audit.arrays import audit_labels as judged

    return judged(features, given, folds, seed, class_names)
