"""The kinds of label noise: one file each, and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bmix.noise.class_dependent import class_dependent
from bmix.noise.flip import flip
from bmix.noise.mislabel import mislabel
from bmix.noise.missing import missing
from bmix.noise.request import Request
from bmix.noise.single_positive import single_positive

Inject = Callable[[np.ndarray, Request, np.random.Generator], np.ndarray]
"""True labels (N, K) uint8 of 0 and 1, which stay as they are, to noisy ones of the same form."""


@dataclass(frozen=True)
class Kind:
    """One kind of noise. uses_rate, uses_matrix: which settings it reads. replaces: a class turns into another, so that
    an image keeps its number of labels."""

    inject: Inject
    uses_rate: bool = False
    uses_matrix: bool = False
    replaces: bool = False


def _none(labels_NK: np.ndarray, _request: Request, _rng: np.random.Generator) -> np.ndarray:
    return labels_NK.copy()


KINDS: dict[str, Kind] = {
    "none": Kind(_none),
    "mislabel": Kind(mislabel, uses_rate=True, replaces=True),
    "flip": Kind(flip, uses_rate=True),
    "single-positive": Kind(single_positive),
    "missing": Kind(missing, uses_rate=True),
    "class-dependent": Kind(class_dependent, uses_matrix=True, replaces=True),
}
"""Every kind under the name that `noise.kind` gives it."""
