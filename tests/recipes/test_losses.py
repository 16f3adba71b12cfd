"""The losses of focal, asl and splc against loops written from their papers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bmix.recipes.asl import ASL, ASLSettings, asymmetric_loss
from bmix.recipes.focal import Focal, FocalSettings, focal_loss
from bmix.recipes.shared.losses import bce_negative, bce_positive
from bmix.recipes.splc import SPLC, SPLCSettings

LOGITS = torch.tensor([[-3.0, 0.2, 2.5], [0.9, -0.4, -6.0], [5.0, 1.0, -1.0], [0.0, 3.0, -2.0]])
TARGETS = torch.tensor([[0.0, 1.0, 0.35], [1.0, 0.0, 0.0], [0.65, 0.5, 1.0], [0.0, 0.0, 0.2]])

Loss = Callable[[float], float]


def slow(positive: Loss, negative: Loss) -> float:
    """Both losses of every label, weighted by the mixed label; summed over the classes, averaged over the pairs."""
    total = 0.0
    for logits, targets in zip(LOGITS.tolist(), TARGETS.tolist(), strict=True):
        for logit, target in zip(logits, targets, strict=True):
            total += target * positive(logit) + (1 - target) * negative(logit)
    return total / len(LOGITS)


def p(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_focal_is_the_papers_formula(gamma: float, alpha: float) -> None:
    of_1, of_0 = (alpha, 1 - alpha) if alpha else (1, 1)
    expected = slow(
        lambda z: of_1 * -((1 - p(z)) ** gamma) * math.log(p(z)),
        lambda z: of_0 * -(p(z) ** gamma) * math.log(1 - p(z)),
    )
    recipe = Focal(torch.zeros(4, 3, dtype=torch.bool), own=FocalSettings(gamma, alpha))
    assert float(recipe.loss(LOGITS, TARGETS)) == pytest.approx(expected, rel=1e-5)


def test_focal_without_focusing_is_bce() -> None:
    expected = torch.nn.functional.binary_cross_entropy_with_logits(LOGITS, TARGETS, reduction="sum") / 4
    assert float(focal_loss(LOGITS, TARGETS, 0.0)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(
    ("gamma_positive", "gamma_negative", "margin"), [(0.0, 4.0, 0.05), (1.0, 2.0, 0.0), (0, 0, 0.3)]
)
def test_asl_is_the_papers_formula(gamma_positive: float, gamma_negative: float, margin: float) -> None:
    def negative(z: float) -> float:
        p_m = max(p(z) - margin, 0)
        return -(p_m**gamma_negative) * math.log(1 - p_m)

    expected = slow(lambda z: -((1 - p(z)) ** gamma_positive) * math.log(p(z)), negative)
    recipe = ASL(torch.zeros(4, 3, dtype=torch.bool), own=ASLSettings(gamma_positive, gamma_negative, margin))
    assert float(recipe.loss(LOGITS, TARGETS)) == pytest.approx(expected, rel=1e-5)


def gradient(loss: Callable[[Tensor], Tensor], logit: float) -> float:
    logits = torch.tensor([[logit]], requires_grad=True)
    loss(logits).backward()
    assert logits.grad is not None
    return float(logits.grad)


@pytest.mark.parametrize("logit", [-2.0, 0.3, 1.5])
def test_gradients_flow_through_focals_weight_and_not_through_asls(logit: float) -> None:
    absent = torch.zeros(1, 1)
    # d/dz of -p^γ log(1 - p), with p' = p (1 - p).
    probability = p(logit)
    whole = probability**2 * probability - 2 * probability**2 * (1 - probability) * math.log(1 - probability)
    assert gradient(lambda z: focal_loss(z, absent, 2.0), logit) == pytest.approx(whole, rel=1e-4)
    p_m = probability - 0.05
    weight_alone = p_m**4 * probability * (1 - probability) / (1 - p_m)
    assert gradient(lambda z: asymmetric_loss(z, absent, 0.0, 4.0, 0.05), logit) == pytest.approx(
        weight_alone, rel=1e-4
    )


@pytest.mark.parametrize("negative", ["focal", "hill"])
def test_splc_is_the_papers_formula(negative: str) -> None:
    def positive(z: float) -> float:
        with_margin = p(z - 1)
        return -((1 - with_margin) ** 2) * math.log(with_margin)

    def of_absent(z: float) -> float:
        return (1.5 - p(z)) * p(z) ** 2 if negative == "hill" else -(p(z) ** 2) * math.log(1 - p(z))

    recipe = SPLC(torch.zeros(4, 3, dtype=torch.bool), own=SPLCSettings(negative=negative))
    assert float(recipe.loss(LOGITS, TARGETS)) == pytest.approx(slow(positive, of_absent), rel=1e-5)


@pytest.mark.parametrize("logit", [-1e4, -100.0, 0.0, 100.0, 1e4])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_losses_and_gradients_are_finite_for_logits_of_any_size(logit: float, target: float) -> None:
    targets = torch.tensor([[target]])
    losses = {
        "focal": lambda z: focal_loss(z, targets, 0.5, 0.25),
        "asl": lambda z: asymmetric_loss(z, targets, 0.5, 0.5, 0.05),
        "asl without margin": lambda z: asymmetric_loss(z, targets, 1.0, 4.0, 0.0),
        "splc": lambda z: SPLC(torch.zeros(1, 1)).loss(z, targets),
        "hill": lambda z: SPLC(torch.zeros(1, 1), own=SPLCSettings(negative="hill")).loss(z, targets),
        "bce": lambda z: (bce_positive(z) + bce_negative(z)).sum(),
    }
    for name, loss in losses.items():
        assert math.isfinite(float(loss(torch.tensor([[logit]])))), name
        assert math.isfinite(gradient(loss, logit)), name
