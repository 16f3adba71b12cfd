"""Where a model runs: on the GPU if there is one."""

from __future__ import annotations

from pathlib import Path

from bmix.models.device import available_device
from bmix.models.store import Classifier, load_classifier


def load_on_device(folder: Path) -> Classifier:
    """The model in a folder, in evaluation mode, on the GPU if there is one; InputError as `load_classifier`."""
    return load_classifier(folder).to(available_device())
