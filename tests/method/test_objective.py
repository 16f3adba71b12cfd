from __future__ import annotations

import math

import pytest
import torch

from bmix.method.objective import balancemix_loss, confidence, label_losses
from bmix.support.errors import InputError


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


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_arguments_stay_as_they_are_and_gradients_reach_the_logits(dtype: torch.dtype) -> None:
    arguments = torch.rand(3, 4, 3, generator=torch.Generator().manual_seed(3)).to(dtype)
    logits, targets, weight = (each.clone() for each in arguments)
    loss = balancemix_loss(logits.requires_grad_(), targets, weight)
    loss.backward()
    assert loss.dtype == torch.promote_types(dtype, torch.float32)
    assert logits.grad is not None
    expected = (weight * (confidence(logits.detach()) - targets) / 4).to(dtype)
    assert torch.allclose(logits.grad, expected, atol=1e-2 if dtype.itemsize == 2 else 1e-6)
    for before, after in zip(arguments, (logits, targets, weight), strict=True):
        assert torch.equal(before, after.detach())


def test_shapes_that_differ_are_refused() -> None:
    logits = torch.zeros(4, 3)
    with pytest.raises(InputError, match=r"labels: shape \(4, 1\) beside logits of shape \(4, 3\)"):
        balancemix_loss(logits, torch.zeros(4, 1))
    with pytest.raises(InputError, match=r"weight: shape \(4, 1\) beside logits of shape \(4, 3\)"):
        balancemix_loss(logits, torch.zeros(4, 3), torch.ones(4, 1))
    with pytest.raises(InputError, match=r"labels: shape \(3,\) beside logits of shape \(4, 3\)"):
        label_losses(logits, torch.zeros(3))


@pytest.mark.parametrize("shape", [(0, 3), (3,)])
def test_a_batch_without_a_mean_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"logits: shape .*\n.*of one instance or more"):
        balancemix_loss(torch.zeros(shape), torch.zeros(shape))
