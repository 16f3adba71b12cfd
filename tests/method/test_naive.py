"""The fast functions beside the naive ones of docs/method.md, which are these very texts."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bmix.method import loss_histogram
from bmix.method.loss_histogram import LossHistogram
from bmix.method.mixture import fit_loss_mixtures
from tests.helpers import naive
from tests.helpers.tiny import REPOSITORY


@pytest.mark.parametrize("function", [naive.count_losses, naive.fit_mixture, naive.average_precision])
def test_the_page_shows_what_the_tests_use(function: Callable[..., Any]) -> None:
    page = (REPOSITORY / "docs/method.md").read_text(encoding="utf-8")
    assert f"```python\n{inspect.getsource(function)}```" in page


def test_the_histogram_counts_as_the_naive_one() -> None:
    generator = torch.Generator().manual_seed(0)
    losses = torch.rand(300, 4, generator=generator).log().neg()
    losses[:3] = torch.tensor([0.0, 1e-5, 80.0])[:, None]
    given = torch.rand(300, 4, generator=generator) < 0.3
    histogram = LossHistogram(4)
    for part in (slice(0, 100), slice(100, 300)):
        histogram.add(losses[part], given[part])
    counts = (histogram._counts >> loss_histogram._COUNT_SHIFT).view(2, 4, -1)
    first_bin = loss_histogram._OFFSET_BITS >> loss_histogram._LOW_BITS
    filled = {(v, k, b + first_bin): int(counts[v, k, b]) for v, k, b in counts.nonzero().tolist()}
    assert Counter(filled) == naive.count_losses(losses.numpy(), given.numpy())


@pytest.mark.parametrize("apart", [1.0, 0.3])
def test_the_fit_is_at_least_as_likely_as_the_naive_one(apart: float) -> None:
    rng = np.random.default_rng(1)
    losses = np.abs(np.concatenate([rng.normal(0.3, 0.08, 400), rng.normal(0.3 + apart, 0.15, 200)]))
    fitted = fit_loss_mixtures(torch.tensor(losses)[:, None], torch.ones(600, 1))
    fast = [each[1, 0].numpy() for each in (fitted.means, fitted.variances, fitted.weights)]
    slow = naive.fit_mixture(losses)
    assert log_likelihood(losses, *fast) > log_likelihood(losses, *slow) - 1e-4
    for one, other in zip(fast, slow, strict=True):
        np.testing.assert_allclose(one, other, rtol=0.02)


def log_likelihood(losses: np.ndarray, means: np.ndarray, variances: np.ndarray, weights: np.ndarray) -> float:
    """The mean over the losses."""
    density = weights / np.sqrt(2 * np.pi * variances) * np.exp(-((losses[:, None] - means) ** 2) / (2 * variances))
    return float(np.log(density.sum(axis=1)).mean())
