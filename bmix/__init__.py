"""BalanceMix: multi-label classification on imbalanced data with wrong labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bmix.models.store import Classifier

__version__ = "0.1.0"
__all__ = ["load_model"]


def load_model(folder: str | Path) -> Classifier:
    """Load a trained model from its folder (`models/final`), ready for `.predict(images)`.

    Raises InputError where the folder lacks `model.json` or `model.safetensors` or they do not fit each other.
    """
    # torch takes seconds to import; the commands that only read files do without it.
    from bmix.models.store import load_classifier

    return load_classifier(Path(folder))
