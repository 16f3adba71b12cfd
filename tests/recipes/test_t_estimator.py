from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bmix.method.mixture import fit_loss_mixtures
from bmix.recipes.shared.base import EpochPass
from bmix.recipes.shared.flip_rates import estimate_flip_rates, select_right
from bmix.recipes.t_estimator import TEstimator, TEstimatorSettings, importance

RATES = torch.tensor([[0.05, 0.1, 0.0, 0.2, 0.1, 0.02], [0.2, 0.4, 0.1, 0.0, 0.3, 0.2]])


def flipped_labels(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """True labels (count, 6) that are correlated, and given ones, flipped with RATES."""
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(count, 2, generator=generator) @ torch.randn(2, 6, generator=generator)
    true_NK = 1.2 * factors + 0.5 * torch.randn(count, 6, generator=generator) > 0.6
    drawn_NK = torch.rand(count, 6, generator=generator)
    return true_NK, torch.where(true_NK, drawn_NK > RATES[1], drawn_NK < RATES[0])


def slow_rates(given: list[list[bool]], right: list[list[bool]], minimum: int) -> list[tuple[float, float]]:
    """The estimator image by image and class by class, by counting."""
    count, classes = len(given), len(given[0])
    rates = []
    for i in range(classes):
        chosen = {a: [n for n in range(count) if given[n][i] == bool(a) and right[n][i]] for a in (0, 1)}
        found = []
        usable = []
        for k in range(classes):
            if k == i or min(len(chosen[0]), len(chosen[1])) < minimum:
                continue
            n_ab = {
                (a, b): sum(given[n][i] == bool(a) and given[n][k] == bool(b) for n in range(count)) / count
                for a in (0, 1)
                for b in (0, 1)
            }
            q = {
                (b, a): sum(given[n][k] == bool(b) for n in chosen[a]) / len(chosen[a]) for a in (0, 1) for b in (0, 1)
            }
            absent = sum(not given[n][k] for n in range(count)) / count
            if q[0, 1] == q[0, 0]:
                continue
            pi_1 = (absent - q[0, 0]) / (q[0, 1] - q[0, 0])
            if not 0 <= pi_1 <= 1:
                continue
            c = {(a, b): q[b, a] * (pi_1 if a else 1 - pi_1) for a in (0, 1) for b in (0, 1)}
            usable.append((n_ab, c))
            d = c[0, 0] * c[1, 1] - c[0, 1] * c[1, 0]
            if d == 0:
                continue
            rho_0 = (c[1, 1] * n_ab[1, 0] - c[1, 0] * n_ab[1, 1]) / d
            rho_1 = (c[0, 0] * n_ab[0, 1] - c[0, 1] * n_ab[0, 0]) / d
            if -0.01 <= rho_0 <= 1 and -0.01 <= rho_1 <= 1 and max(rho_0, 0) + max(rho_1, 0) < 1:
                found.append((max(rho_0, 0), max(rho_1, 0)))

        def misfit(candidate: tuple[float, float], usable: list = usable) -> float:
            t = {(0, 0): 1 - candidate[0], (0, 1): candidate[0], (1, 0): candidate[1], (1, 1): 1 - candidate[1]}
            return sum(
                (n_ab[a, b] - sum(t[y, a] * c[y, b] for y in (0, 1))) ** 2
                for n_ab, c in usable
                for a in (0, 1)
                for b in (0, 1)
            )

        rates.append(min(found, key=misfit) if found else (0.0, 0.0))
    return rates


@pytest.mark.parametrize(("seed", "minimum"), [(0, 5), (1, 5), (2, 60)])
def test_the_flip_rates_are_those_of_a_count(seed: int, minimum: int) -> None:
    true_NK, given_NK = flipped_labels(300, seed)
    generator = torch.Generator().manual_seed(seed)
    right_NK = (given_NK == true_NK) ^ (torch.rand(300, 6, generator=generator) < 0.1)
    found = estimate_flip_rates(given_NK, right_NK, minimum)
    expected = slow_rates(given_NK.tolist(), right_NK.tolist(), minimum)
    assert found.T.tolist() == [pytest.approx(pair, abs=1e-9) for pair in expected]
    assert (found > 0).any()
    # Some class has too few images of one value, and so the identity.
    assert (found.sum(dim=0) == 0).any() or minimum == 5


def test_rates_of_many_images_come_near_the_true_ones() -> None:
    true_NK, given_NK = flipped_labels(20_000)
    assert torch.allclose(estimate_flip_rates(given_NK, given_NK == true_NK).float(), RATES, atol=0.02)


@pytest.mark.parametrize("classes", [1, 2])
def test_classes_that_tell_nothing_keep_the_identity(classes: int) -> None:
    given_NK = torch.zeros(200, classes, dtype=torch.bool)
    given_NK[::2, 0] = True
    rates_2K = estimate_flip_rates(given_NK, torch.ones_like(given_NK))
    assert torch.equal(rates_2K, torch.zeros(2, classes, dtype=torch.float64))


def test_right_labels_are_those_of_the_smaller_component_of_scaled_losses() -> None:
    generator = torch.Generator().manual_seed(0)
    given_NK = torch.rand(300, 2, generator=generator) < 0.5
    losses_NK = 0.1 + 0.2 * torch.rand(300, 2, generator=generator)
    losses_NK[::10] += 3
    # Of one value and class all losses are equal: nothing can be told of them.
    losses_NK[given_NK[:, 1], 1] = 0.7
    right_NK = select_right(losses_NK, given_NK)
    for k in range(2):
        for value in (False, True):
            rows = (given_NK[:, k] == value).nonzero()[:, 0]
            losses = losses_NK[rows, k]
            if k == 1 and value:
                assert right_NK[rows, k].all()
                continue
            scaled_N1 = ((losses - losses.min()) / (losses.max() - losses.min()))[:, None]
            alone_N1 = torch.full_like(scaled_N1, value, dtype=torch.bool)
            expected = fit_loss_mixtures(scaled_N1, alone_N1).clean_probability(scaled_N1, alone_N1) > 0.5
            assert torch.equal(right_NK[rows, k], expected[:, 0])
            assert right_NK[rows, k].tolist() == [row % 10 != 0 for row in rows.tolist()]


def test_labels_are_weighted_by_how_likely_they_are_to_be_true() -> None:
    rates_2K = torch.tensor([[0.0, 0.1, 0.3], [0.0, 0.4, 0.2]])
    logits = torch.tensor([[-2.0, 0.5, 3.0], [1.0, -4.0, 0.0]])
    targets = torch.tensor([[0.0, 0.7, 1.0], [0.3, 0.0, 1.0]])
    recipe = TEstimator(torch.zeros(2, 3, dtype=torch.bool))
    plain = float(recipe.loss(logits, targets))
    recipe.flip_rates_2K = rates_2K
    loss = 0.0
    unweighted = 0.0
    for b in range(2):
        for k in range(3):
            p, y = 1 / (1 + math.exp(-float(logits[b, k]))), float(targets[b, k])
            rho_0, rho_1 = rates_2K[:, k].tolist()
            p_given = (1 - rho_1) * p + rho_0 * (1 - p)
            loss -= y * p / p_given * math.log(p) + (1 - y) * (1 - p) / (1 - p_given) * math.log(1 - p)
            unweighted -= y * math.log(p) + (1 - y) * math.log(1 - p)
    assert plain == pytest.approx(unweighted / 2, rel=1e-5)
    assert float(recipe.loss(logits, targets)) == pytest.approx(loss / 2, rel=1e-5)
    of_present, of_absent = importance(torch.tensor([[-1e4, 0.0, 1e4]]), rates_2K)
    assert of_present.isfinite().all()
    assert of_absent.isfinite().all()
    assert (of_present[0, 0], of_absent[0, 0]) == (1, 1)


def test_losses_of_the_last_epochs_alone_are_kept_until_the_rates_are_estimated() -> None:
    true_NK, given_NK = flipped_labels(400)
    recipe = TEstimator(given_NK, own=TEstimatorSettings(window=3, minimum=10))
    wrong_NK = given_NK != true_NK
    passes = [torch.full((400, 6), float(epoch)) for epoch in range(5)]
    passes.append(
        torch.where(wrong_NK, 9.0, 0.1) + 0.01 * torch.rand(400, 6, generator=torch.Generator().manual_seed(0))
    )
    for number, losses_NK in enumerate(passes, start=1):
        assert recipe.wants_pass(manage=number == 6)
        recipe.end_epoch(EpochPass(losses_NK, losses_NK), manage=number == 6)
        if number < 6:
            assert recipe.losses_ENK is not None
            assert recipe.losses_ENK[:, 0, 0].tolist() == [float(n) for n in range(number)][-3:]
            assert set(recipe.state()) == {"losses"}
    assert set(recipe.state()) == {"flip_rates"}
    assert not recipe.wants_pass(manage=True)
    mean_NK = torch.stack(passes[-3:]).mean(dim=0)
    expected = estimate_flip_rates(given_NK, select_right(mean_NK, given_NK), 10)
    assert recipe.flip_rates_2K is not None
    assert torch.equal(recipe.flip_rates_2K, expected)
