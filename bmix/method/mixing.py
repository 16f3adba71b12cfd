"""Eq. 5: the mixture of two instances."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from bmix.errors import InputError


def mixing_coefficient(alpha: float, size: int, generator: torch.Generator) -> Tensor:
    """Eq. 5: λ = max(λ', 1 - λ') with λ' ~ Beta(α, α), one for each of `size` pairs.

    Returns (size,) float32 in [0.5, 1] on the generator's device. α must be finite and above 0 (InputError). torch
    draws no Beta numbers from an explicit generator; numpy does, seeded by one number drawn from `generator`.
    """
    if not (math.isfinite(alpha) and alpha > 0):
        raise InputError("method.alpha", str(alpha), "a finite number above 0", "correct method.alpha")
    seed = torch.randint(2**63 - 1, (1,), device=generator.device, generator=generator)
    drawn = np.random.default_rng(int(seed)).beta(alpha, alpha, size)
    return torch.from_numpy(np.maximum(drawn, 1 - drawn).astype(np.float32)).to(generator.device)


def mix(first: Tensor, second: Tensor, coefficient: Tensor) -> Tensor:
    """Eq. 5: λ · first + (1 - λ) · second, with one λ per pair.

    Takes two tensors of one shape (B, ...) and coefficients (B,) in [0.5, 1]; serves images and labels alike. The
    result has the first's floating type, float32 for bool and integers. Where both agree it is exactly their value.
    """
    if not first.is_floating_point():
        first = first.float()
    weight = coefficient.to(first).reshape(-1, *[1] * (first.ndim - 1))
    return torch.lerp(second.to(first), first, weight)
