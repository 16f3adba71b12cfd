"""Whether a kind of noise fits the classes, before anything is injected."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bmix.noise.kinds import KINDS
from bmix.noise.matrix import read_matrix
from bmix.support.errors import InputError


def noise_matrix(kind: str, rate: float, path: Path, classes: list[str]) -> np.ndarray | None:
    """The matrix that a kind of noise needs, float64 (K, K) in the order of `classes`; None for a kind without one.

    Raises InputError as `read_matrix` does, so that calling it is the check of `noise.matrix`, and for noise that turns
    a class into another if there is only one class.
    """
    traits = KINDS[kind]
    if len(classes) < 2 and traits.replaces and (rate > 0 or not traits.uses_rate):
        others = [name for name, other in KINDS.items() if not other.replaces]
        raise InputError(
            "params.yaml, noise.kind",
            f"{kind}, and the data has one class",
            "two classes at least, for one to be turned into another",
            f"set noise.kind to one of {', '.join(others)}",
        )
    return read_matrix(path, classes) if traits.uses_matrix else None


def check_keeps_one_class(kind: str) -> None:
    """InputError for noise that may leave an image without a class, or give it a second one, in single-label data."""
    fitting = ["none", *(name for name, traits in KINDS.items() if traits.replaces)]
    if kind not in fitting:
        raise InputError(
            "params.yaml, noise.kind",
            f"{kind}, after which an image need not have exactly one class, as model.task single-label asks",
            f"one of {', '.join(fitting)}",
            "set noise.kind to mislabel, which replaces a class by another, or model.task to multi-label",
        )
