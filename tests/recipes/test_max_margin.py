"""The max-margin loss against a loop over pairs of classes, and its training."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bmix.models.affinity import Affinity, diversity
from bmix.recipes.max_margin import max_margin_loss


def slow_loss(affinity_BK: Tensor, targets_BK: Tensor, margin: float) -> float:
    """The pairs one by one."""
    total = 0.0
    for d, y in zip(affinity_BK.tolist(), targets_BK.tolist(), strict=True):
        classes = range(len(d))
        if sum(y) == 0:
            total += sum(max(0.0, margin + d[n] - 1) for n in classes)
            continue
        pairs = (y[p] * (1 - y[n]) * max(0.0, margin + d[n] - d[p]) for p in classes for n in classes if n != p)
        total += sum(pairs) / sum(y)
    return total / len(affinity_BK)


@settings(deadline=None)
@given(seed=st.integers(0, 999), soft=st.booleans(), classes=st.integers(1, 6), margin=st.floats(0, 1))
def test_the_loss_is_that_of_the_pairs(seed: int, soft: bool, classes: int, margin: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    affinity = torch.rand(4, classes, generator=generator)
    targets = torch.rand(4, classes, generator=generator)
    targets = targets if soft else (targets > 0.6).float()
    assert float(max_margin_loss(affinity, targets, margin)) == pytest.approx(
        slow_loss(affinity, targets, margin), rel=1e-4, abs=1e-6
    )


def test_of_one_present_class_it_is_the_published_loss() -> None:
    affinity = torch.tensor([[0.2, 0.9, 0.5]])
    # Σ_{j ≠ y} max(0, λ + d(f, j) - d(f, y)) for y = 2.
    expected = max(0, 0.75 + 0.2 - 0.5) + max(0, 0.75 + 0.9 - 0.5)
    assert float(max_margin_loss(affinity, torch.tensor([[0.0, 0.0, 1.0]]), 0.75)) == pytest.approx(expected)


def test_gradients_are_finite_without_a_present_class() -> None:
    affinity = torch.full((2, 3), 0.5, requires_grad=True)
    max_margin_loss(affinity, torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), 0.75).backward()
    assert torch.isfinite(affinity.grad).all()  # type: ignore[arg-type]
    assert (affinity.grad[0] > 0).all()  # type: ignore[index]
    assert (affinity.grad[1] == 0).all()  # type: ignore[index]


def test_it_separates_points_that_no_line_does() -> None:
    """Two clusters of one class on both sides of the other's: a prototype for each."""
    generator = torch.Generator().manual_seed(5)
    centres = torch.tensor([[-3.0, 0.0], [3.0, 0.0], [0.0, 0.0]])
    points = centres.repeat_interleave(20, dim=0) + 0.3 * torch.randn(60, 2, generator=generator)
    targets = torch.zeros(60, 2)
    targets[:40, 0] = targets[40:, 1] = 1
    torch.manual_seed(0)
    layer = Affinity(2, 2, 2, sigma=5.0)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(300):
        loss = max_margin_loss(layer(points).sigmoid(), targets, 0.75) + 1e-4 * diversity(layer.prototypes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (layer(points).argmax(dim=1) == targets.argmax(dim=1)).float().mean() > 0.95
