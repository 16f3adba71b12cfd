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
