"""balanced-mixup and oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bmix.method.sampling import draw
from bmix.recipes.balanced_mixup import BalancedMixup, BalancedMixupSettings
from bmix.recipes.mixup import Mixup
from bmix.recipes.oracle import Oracle
from bmix.recipes.shared.base import Side, Step


def test_partners_are_drawn_by_a_class_and_then_one_of_its_images() -> None:
    given_NK = torch.rand(50, 4, generator=torch.Generator().manual_seed(0)) < torch.tensor([0.6, 0.3, 0.1, 0.0])
    given_NK[7] = False
    assert not given_NK[:, 3].any()
    probability_N = BalancedMixup(given_NK).partner_probability()
    assert probability_N is not None
    expected = [0.0] * 50
    shown = [k for k in range(4) if given_NK[:, k].any()]
    for k in shown:
        images = [n for n in range(50) if given_NK[n, k]]
        for n in images:
            expected[n] += 1 / len(shown) / len(images)
    assert probability_N.tolist() == pytest.approx(expected, rel=1e-12)
    assert float(probability_N.sum()) == pytest.approx(1)
    drawn = draw(probability_N, 20_000, torch.Generator().manual_seed(1))
    assert not (drawn == 7).any()
    # Every class is shown by a third of what is drawn for it, and besides by images drawn for the others.
    assert float(given_NK[drawn, 2].float().mean()) > 1 / 3


def test_without_a_positive_partners_are_drawn_uniformly() -> None:
    assert BalancedMixup(torch.zeros(5, 2, dtype=torch.bool)).partner_probability() is None


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_its_coefficient_has_no_maximum_and_the_mean_of_its_beta(alpha: float) -> None:
    recipe = BalancedMixup(torch.ones(1, 1, dtype=torch.bool), own=BalancedMixupSettings(alpha))
    drawn = recipe.coefficients(40_000, torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.float32
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) <= 1
    assert float(drawn.min()) < 0.5
    # P(λ <= x) of Beta(α, 1) is x^α.
    points = np.linspace(0, 1, 50)
    below = np.searchsorted(np.sort(drawn.numpy()), points, side="right") / 40_000
    assert np.abs(below - points**alpha).max() < 1.95 * math.sqrt(1 / 40_000)  # Kolmogorov-Smirnov at 0.1 %


def test_the_oracle_is_mixup_on_the_true_labels() -> None:
    generator = torch.Generator().manual_seed(0)
    true_NK, given_NK = torch.rand(2, 20, 3, generator=generator) < 0.4
    rows, partners = torch.randint(20, (2, 8), generator=generator)
    views, logits = torch.rand(8, 3, generator=generator), torch.randn(8, 3, generator=generator)
    step = Step(Side(rows, views), Side(partners, views), 0.5 + torch.rand(8, generator=generator) / 2)
    oracle = Oracle(given_NK, true_NK=true_NK).step(lambda mixed: logits, step)
    assert torch.equal(oracle.loss, Mixup(true_NK).step(lambda mixed: logits, step).loss)
    assert not torch.equal(oracle.loss, Mixup(given_NK).step(lambda mixed: logits, step).loss)
    with pytest.raises(ValueError, match="no true labels"):
        Oracle(given_NK).step(lambda mixed: logits, step)
