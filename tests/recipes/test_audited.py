"""audited: what a given label weighs, and what follows from it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bmix.method.refine import AMBIGUOUS, CLEAN
from bmix.recipes.audited import Audited, AuditedSettings
from bmix.recipes.shared.base import EpochPass, Side, Step

ROWS, CLASSES = 60, 4
UNJUDGED = 2


def example() -> tuple[Tensor, Tensor, EpochPass]:
    """Given labels, P(present) of which class 2 could not be judged, and a pass whose losses are in two parts."""
    generator = torch.Generator().manual_seed(0)
    given_NK = torch.rand(ROWS, CLASSES, generator=generator) < 0.5
    present_NK = torch.rand(ROWS, CLASSES, generator=generator)
    present_NK[:, UNJUDGED] = torch.nan
    high_NK = torch.rand(ROWS, CLASSES, generator=generator) < 0.3
    losses_NK = torch.where(high_NK, 2.5, 0.3) + 0.2 * torch.rand(ROWS, CLASSES, generator=generator)
    return given_NK, present_NK, EpochPass(losses_NK, torch.exp(-losses_NK))


def slow_weight(recipe: Audited, n: int, k: int) -> float:
    given, network = bool(recipe.given_NK[n, k]), None if recipe.p_clean_NK is None else float(recipe.p_clean_NK[n, k])
    if recipe.present_NK is None:
        return 1.0 if network is None else network
    present = float(recipe.present_NK[n, k])
    audit = present if given else 1 - present
    if network is None:
        return audit
    return network if k == UNJUDGED else audit * (audit + (1 - audit) * network)


@pytest.mark.parametrize("audited", [True, False])
@pytest.mark.parametrize("managed", [True, False])
def test_the_weight_of_every_label_is_that_of_the_slow_formula(audited: bool, managed: bool) -> None:
    given_NK, present_NK, seen = example()
    recipe = Audited(given_NK, present_NK=present_NK if audited else None)
    recipe.end_epoch(seen, manage=managed)
    assert recipe.managing == managed
    weight = recipe.weight(torch.arange(ROWS))
    for n in range(ROWS):
        for k in range(CLASSES):
            assert float(weight[n, k]) == pytest.approx(slow_weight(recipe, n, k), abs=1e-6)


def test_an_audit_that_repeats_the_given_labels_makes_them_weigh_1() -> None:
    given_NK, _, seen = example()
    recipe = Audited(given_NK, present_NK=given_NK.float())
    everything = torch.arange(ROWS)
    assert (recipe.weight(everything) == 1).all()
    recipe.judge(seen)
    assert (recipe.weight(everything) == 1).all()


def test_a_class_that_is_not_learnt_keeps_its_labels() -> None:
    given_NK, _, seen = example()
    losses_NK = seen.losses_NK.clone()
    losses_NK[:, 1] += 1.5
    recipe = Audited(given_NK, own=AuditedSettings(learnt=1.2))
    recipe.judge(EpochPass(losses_NK, seen.confidence_NK))
    weight = recipe.weight(torch.arange(ROWS))
    assert (weight[:, 1] == 1).all()
    assert (weight[:, 0] < 0.5).any()
    patient = Audited(given_NK, own=AuditedSettings(learnt=10.0))
    patient.judge(EpochPass(losses_NK, seen.confidence_NK))
    assert (patient.weight(torch.arange(ROWS))[:, 1] < 0.5).any()


def test_the_loss_of_a_step_is_that_of_a_loop_over_both_sides() -> None:
    given_NK, present_NK, seen = example()
    recipe = Audited(given_NK, present_NK=present_NK)
    recipe.judge(seen)
    generator = torch.Generator().manual_seed(1)
    rows, partners = torch.tensor([3, 9, 20]), torch.tensor([7, 9, 55])
    views = torch.rand(2, 3, CLASSES, generator=generator)
    coefficient = torch.tensor([0.9, 0.6, 1.0])
    result = recipe.step(lambda mixed: 3 * mixed, Step(Side(rows, views[0]), Side(partners, views[1]), coefficient))
    total = 0.0
    for b in range(3):
        share = float(coefficient[b])
        for side, part in ((rows, share), (partners, 1 - share)):
            n = int(side[b])
            for k in range(CLASSES):
                p = 1 / (1 + math.exp(-3 * float(share * views[0, b, k] + (1 - share) * views[1, b, k])))
                right = p if given_NK[n, k] else 1 - p
                total += part * slow_weight(recipe, n, k) * -math.log(right)
    assert float(result.loss) == pytest.approx(total / 3, rel=1e-5)
    assert result.verdict is not None
    wanted = [[CLEAN if slow_weight(recipe, int(n), k) > 0.5 else AMBIGUOUS for k in range(CLASSES)] for n in rows]
    assert result.verdict.tolist() == wanted


@pytest.mark.parametrize("audited", [True, False])
def test_log_odds_are_those_of_the_weight(audited: bool) -> None:
    given_NK, present_NK, seen = example()
    recipe = Audited(given_NK, present_NK=present_NK if audited else None)
    recipe.judge(seen)
    image_M, class_M = torch.ones_like(given_NK).nonzero().unbind(1)
    odds_M = recipe.log_odds(seen.losses_NK[image_M, class_M], image_M, class_M)
    assert odds_M is not None
    weight_M = recipe.weight(torch.arange(ROWS))[image_M, class_M]
    torch.testing.assert_close(odds_M.sigmoid().float(), weight_M, atol=1e-5, rtol=0)
    ledger = recipe.ledger(None)
    torch.testing.assert_close(ledger.weight_NK[image_M, class_M], weight_M)
    assert torch.equal(ledger.labels_NK, given_NK.float())
    assert ((ledger.verdict_NK == CLEAN) == (ledger.weight_NK > 0.5)).all()
