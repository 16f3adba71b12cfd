"""The settings of a kind of noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Request:
    """rate: τ in [0, 1), unused by some kinds. matrix_KK: what each class turns into, for the kinds that need one."""

    rate: float
    matrix_KK: np.ndarray | None = None
