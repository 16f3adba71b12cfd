"""Eq. 5: the mixture of two instances."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bmix.method.checks import check_shape
from bmix.method.settings import LARGEST_ALPHA
from bmix.support.errors import InputError


def mixing_coefficient(alpha: float, size: int, generator: torch.Generator) -> Tensor:
    """Eq. 5: λ = max(λ', 1 - λ') with λ' ~ Beta(α, α), one for each of `size` pairs.

    Returns (size,) float32 in [0.5, 1] on the generator's device. α must be above 0 and at most 10^6 (InputError).
    """
    if not 0 < alpha <= LARGEST_ALPHA:
        expected = f"a number above 0, at most {LARGEST_ALPHA:.0f}"
        raise InputError("method.alpha", str(alpha), expected, "correct method.alpha")
    drawn = draw_beta(alpha, alpha, size, generator)
    return torch.maximum(drawn, 1 - drawn).float()


def draw_beta(alpha: float, beta: float, size: int, generator: torch.Generator) -> Tensor:
    """Numbers from Beta(α, β), both above 0: (size,) float64 in [0, 1] on the generator's device."""
    # torch draws none from an explicit generator; numpy does, seeded by one number drawn from it.
    seed = torch.randint(2**63 - 1, (1,), device=generator.device, generator=generator)
    return torch.from_numpy(np.random.default_rng(int(seed)).beta(alpha, beta, size)).to(generator.device)


def mix(first: Tensor, second: Tensor, coefficient: Tensor) -> Tensor:
    """Eq. 5: λ · first + (1 - λ) · second, with one λ per pair.

    Takes two tensors of one shape (B, ...) and coefficients (B,) in [0, 1]; serves images and labels alike. The
    result has the first's floating type, float32 for bool and integers. Where both agree it is exactly their value.
    Gradients flow to both. Shapes that do not match raise InputError.
    """
    check_shape("second of the pairs", second.shape, "first", first.shape)
    check_shape("coefficient", coefficient.shape, "pairs", first.shape[:1])
    if not first.is_floating_point():
        first = first.float()
    weight = coefficient.to(first).reshape(-1, *[1] * (first.ndim - 1))
    return torch.lerp(second.to(first), first, weight)
