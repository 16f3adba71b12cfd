"""BalanceMix: multi-label classification on imbalanced data with wrong labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bmix.audit.labels import LabelAudit
    from bmix.models.store import Classifier

__version__ = "0.1.0"
__all__ = ["audit_labels", "load_model"]


def load_model(folder: str | Path) -> Classifier:
    """Load a trained model from its folder (`models/final`), ready for `.predict(images)`.

    Raises InputError where the folder lacks `model.json` or `model.safetensors` or they do not fit each other.
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
