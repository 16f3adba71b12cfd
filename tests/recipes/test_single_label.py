from __future__ import annotations

import math

import pytest
import torch

from bmix.recipes import RECIPES, check_task
from bmix.recipes.shared.base import Side, Step
from bmix.recipes.shared.losses import cross_entropy
from bmix.support.errors import InputError

FITTING = ["balanced-mixup", "bce", "max-margin", "mixup", "oracle"]


def slow_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> float:
    total = 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        highest = max(row)
        normaliser = highest + math.log(sum(math.exp(value - highest) for value in row))
        total += sum(y * (normaliser - value) for value, y in zip(row, target, strict=True))
    return total / len(logits)


def test_cross_entropy_is_that_of_a_slow_loop_for_mixed_targets_too() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 200 * torch.randn(6, 4, generator=generator)
    targets = torch.rand(6, 4, generator=generator).softmax(dim=1)
    assert cross_entropy(logits, targets).item() == pytest.approx(slow_cross_entropy(logits, targets), rel=1e-5)
    hard = torch.eye(4)[[0, 3, 1, 1, 2, 0]]
    expected = torch.nn.functional.cross_entropy(logits, hard.argmax(dim=1))
    torch.testing.assert_close(cross_entropy(logits, hard), expected)


@pytest.mark.parametrize("name", ["bce", "mixup", "oracle", "balanced-mixup"])
def test_plain_recipes_minimise_cross_entropy_where_an_image_has_one_class(name: str) -> None:
    given_NK = torch.eye(3, dtype=torch.bool)[[0, 1, 2, 0]]
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    losses = {}
    for single_label in (False, True):
        recipe = RECIPES[name](given_NK, true_NK=given_NK, single_label=single_label)
        rows, partners = torch.arange(4), torch.tensor([1, 2, 3, 0])
        step = Step(Side(rows, torch.zeros(4, 1)))
        targets = given_NK.float()
        if recipe.mixes:
            mixing = torch.full((4,), 0.75)
            step = Step(Side(rows, torch.zeros(4, 1)), Side(partners, torch.zeros(4, 1)), mixing)
            targets = 0.75 * targets + 0.25 * targets[partners]
        losses[single_label] = recipe.step(lambda views: logits, step).loss
    torch.testing.assert_close(losses[True], cross_entropy(logits, targets))
    bce = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    torch.testing.assert_close(losses[False], bce.sum(dim=1).mean())


def test_recipes_that_work_label_by_label_are_refused_and_the_others_named() -> None:
    assert [name for name in RECIPES if RECIPES[name].takes_single_label] == FITTING
    for name in RECIPES:
        check_task(name, single_label=False)
        if name in FITTING:
            check_task(name, single_label=True)
            continue
        with pytest.raises(InputError) as caught:
            check_task(name, single_label=True)
        assert caught.value.expected == f"one of {', '.join(FITTING)}"


def test_what_a_pass_says_of_every_label_is_asked_by_no_single_label_recipe() -> None:
    # Its losses are BCE, and its confidences sigmoids.
    assert not any(RECIPES[name].needs_pass for name in FITTING)
