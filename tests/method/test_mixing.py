from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.method.mixing import mix, mixing_coefficient
from bmix.support.errors import InputError


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-3, 1e4), st.integers(0, 200), st.integers(0, 10_000))
def test_coefficients_lie_in_the_upper_half(alpha: float, size: int, seed: int) -> None:
    coefficient_B = mixing_coefficient(alpha, size, torch.Generator().manual_seed(seed))
    assert coefficient_B.shape == (size,)
    assert coefficient_B.dtype == torch.float32
    assert ((coefficient_B >= 0.5) & (coefficient_B <= 1)).all()


@pytest.mark.parametrize("alpha", [0.4, 4.0])
def test_coefficients_are_the_larger_half_of_a_beta(alpha: float) -> None:
    drawn = mixing_coefficient(alpha, 40_000, torch.Generator().manual_seed(0)).numpy()
    other = np.random.default_rng(1).beta(alpha, alpha, 40_000)
    other = np.maximum(other, 1 - other)
    points = np.linspace(0.5, 1, 50)
    distance = np.abs(np.searchsorted(np.sort(drawn), points) - np.searchsorted(np.sort(other), points)).max() / 40_000
    assert distance < 1.95 * math.sqrt(2 / 40_000)  # Kolmogorov-Smirnov at 0.1 %


def test_the_generator_decides_and_moves_on() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = mixing_coefficient(4.0, 8, generator), mixing_coefficient(4.0, 8, generator)
    assert torch.equal(first, mixing_coefficient(4.0, 8, torch.Generator().manual_seed(0)))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan, math.inf, 1.1e6, 1e308])
def test_an_unusable_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(InputError, match=r"method\.alpha"):
        mixing_coefficient(alpha, 3, torch.Generator())


@pytest.mark.parametrize("shape", [(3,), (3, 5), (3, 2, 4, 4)])
def test_equation_5_against_a_loop(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, *shape, generator=generator)
    coefficient_B = torch.tensor([0.5, 0.8, 1.0])
    mixed = mix(first, second, coefficient_B)
    for pair in range(3):
        weight = coefficient_B[pair].item()
        flat = zip(first[pair].flatten().tolist(), second[pair].flatten().tolist(), strict=True)
        assert mixed[pair].flatten().tolist() == pytest.approx(
            [weight * a + (1 - weight) * b for a, b in flat], abs=1e-6
        )
    assert torch.equal(mixed[2], first[2])
    assert torch.equal(mix(first, first, coefficient_B), first)


def test_labels_of_any_type_mix_to_float32_and_half_precision_stays() -> None:
    first, second = torch.tensor([[True, False]]), torch.tensor([[False, False]])
    assert mix(first, second, torch.tensor([0.75])).tolist() == [[0.75, 0.0]]
    images = torch.ones(1, 3, 2, 2, dtype=torch.bfloat16)
    assert mix(images, images, torch.tensor([0.75])).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_arguments_stay_as_they_are_and_gradients_reach_both(dtype: torch.dtype) -> None:
    arguments = [torch.ones(2, 3, dtype=dtype), torch.zeros(2, 3, dtype=dtype), torch.tensor([0.75, 0.5])]
    first, second, coefficient_B = (each.clone() for each in arguments)
    mix(first.requires_grad_(), second.requires_grad_(), coefficient_B).sum().backward()
    assert first.grad is not None
    assert second.grad is not None
    assert first.grad.tolist() == [[0.75] * 3, [0.5] * 3]
    assert second.grad.tolist() == [[0.25] * 3, [0.5] * 3]
    for before, after in zip(arguments, (first, second, coefficient_B), strict=True):
        assert torch.equal(before, after.detach())


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(InputError, match=r"second of the pairs: shape \(1, 3\) beside first of shape \(2, 3\)"):
        mix(torch.ones(2, 3), torch.ones(1, 3), torch.tensor([0.7, 0.7]))
    with pytest.raises(InputError, match=r"coefficient: shape \(1,\) beside pairs of shape \(2,\)"):
        mix(torch.ones(2, 3), torch.ones(2, 3), torch.tensor([0.7]))


def test_the_largest_alpha_halves() -> None:
    coefficient_B = mixing_coefficient(1e6, 100, torch.Generator().manual_seed(0))
    assert coefficient_B.tolist() == pytest.approx([0.5] * 100, abs=5e-3)
