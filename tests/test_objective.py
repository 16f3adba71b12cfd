from __future__ import annotations

import math

import pytest
import torch

from bmix.method.objective import balancemix_loss, confidence, label_losses


def test_equation_10_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator) * 3
    targets, weight = torch.rand(2, 6, 4, generator=generator)
    total = 0.0
    for image in range(6):
        for label in range(4):
            f = 1 / (1 + math.exp(-logits[image, label].item()))
            y = targets[image, label].item()
            total += weight[image, label].item() * -(y * math.log(f) + (1 - y) * math.log(1 - f))
    assert balancemix_loss(logits, targets, weight).item() == pytest.approx(total / 6, rel=1e-5)


def test_without_weights_it_is_plain_binary_cross_entropy() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([[1, 0, 1]]).expand(5, 3)
    expected = -torch.where(targets.bool(), confidence(logits), 1 - confidence(logits)).log().sum(1).mean()
    assert balancemix_loss(logits, targets).item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.equal(balancemix_loss(logits, targets), balancemix_loss(logits, targets, torch.ones(5, 3)))


@pytest.mark.parametrize(
    ("logit", "given", "loss"), [(200.0, 0, 200.0), (200.0, 1, 0.0), (-90.0, 1, 90.0), (0.0, 1, math.log(2))]
)
def test_losses_of_large_logits_are_exact(logit: float, given: int, loss: float) -> None:
    assert label_losses(torch.tensor([[logit]]), torch.tensor([[given]])).item() == pytest.approx(loss, rel=1e-6)


def test_a_small_loss_keeps_its_digits() -> None:
    assert label_losses(torch.tensor([[16.0]]), torch.ones(1, 1)).item() == pytest.approx(math.exp(-16), rel=1e-4)


def test_half_precision_is_widened_under_autocast() -> None:
    logits = torch.tensor([[3.0, -2.0]], dtype=torch.bfloat16)
    given = torch.tensor([[True, True]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses, loss = label_losses(logits, given), balancemix_loss(logits, given, torch.tensor([[1.0, 0.5]]))
    assert losses.dtype == loss.dtype == confidence(logits).dtype == torch.float32
    assert loss.item() == pytest.approx(math.log1p(math.exp(-3)) + 0.5 * math.log1p(math.exp(2)), rel=1e-6)


def test_gradient_is_the_weighted_difference_of_confidence_and_target() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = (torch.randn(4, 3, generator=generator) * 30).requires_grad_()
    targets, weight = torch.rand(2, 4, 3, generator=generator)
    balancemix_loss(logits, targets, weight).backward()
    expected = weight * (confidence(logits.detach()) - targets) / 4
    assert logits.grad is not None
    assert torch.allclose(logits.grad, expected, atol=1e-6)
