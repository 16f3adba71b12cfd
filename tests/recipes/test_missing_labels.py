"""ll-r, ll-ct, ll-cp and splc: which labels they doubt, and what becomes of these."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bmix.method.refine import AMBIGUOUS, CLEAN, RELABELLED
from bmix.recipes.ll_cp import LLCp
from bmix.recipes.ll_ct import LLCt
from bmix.recipes.ll_r import LLR
from bmix.recipes.shared.base import EpochPass, Side, Step
from bmix.recipes.shared.corrections import MissingLabels
from bmix.recipes.shared.large_loss import LargeLoss, LargeLossSettings, largest_losses
from bmix.recipes.splc import SPLC, SPLCSettings

ROWS, CLASSES = 40, 5


def example(seed: int = 0) -> tuple[Tensor, EpochPass]:
    """Given labels (40, 5) and a pass over them."""
    generator = torch.Generator().manual_seed(seed)
    given_NK = torch.rand(ROWS, CLASSES, generator=generator) < 0.3
    confidence_NK = torch.rand(ROWS, CLASSES, generator=generator)
    return given_NK, EpochPass(-torch.where(given_NK, confidence_NK, 1 - confidence_NK).log(), confidence_NK)


def slow_largest(losses_NK: Tensor, candidates: set[tuple[int, int]], per_cent: float) -> set[tuple[int, int]]:
    """By sorting the cells of a list."""
    cells = sorted(candidates, key=lambda cell: (-float(losses_NK[cell]), cell))
    return set(cells[: math.floor(per_cent / 100 * losses_NK.numel())])


def cells(mask_NK: Tensor) -> set[tuple[int, int]]:
    return {(int(n), int(k)) for n, k in mask_NK.nonzero()}


@pytest.mark.parametrize("per_cent", [0.0, 0.4, 0.5, 3.0, 30.0, 100.0])
def test_the_largest_losses_are_those_of_a_sorted_list(per_cent: float) -> None:
    given_NK, seen = example()
    # Ties, across the limit too.
    losses_NK = seen.losses_NK.mul(4).round() / 4
    found_NK = largest_losses(losses_NK, ~given_NK, per_cent)
    assert cells(found_NK) == slow_largest(losses_NK, cells(~given_NK), per_cent)


@pytest.mark.parametrize("kind", [LLR, LLCt])
def test_the_share_grows_with_the_epoch_from_none_in_the_first(kind: type[LargeLoss]) -> None:
    given_NK, seen = example()
    recipe = kind(given_NK, own=LargeLossSettings(delta_rel=1.5))
    assert recipe.missing_NK is None
    assert not recipe.managing
    for epoch in range(1, 6):
        recipe.begin_epoch(epoch, 5)
        # In warm-up or not.
        recipe.end_epoch(seen, manage=epoch > 2)
        assert recipe.managing
        assert recipe.missing_NK is not None
        # Epoch t is the next one: (t - 1) · Δ_rel per cent of all 200 labels.
        assert cells(recipe.missing_NK) == slow_largest(seen.losses_NK, cells(~given_NK), epoch * 1.5)


def test_permanent_corrections_add_up_and_are_never_taken_back() -> None:
    given_NK, _ = example()
    recipe = LLCp(given_NK, own=LargeLossSettings(delta_rel=2.0))
    corrected: set[tuple[int, int]] = set()
    for epoch in range(1, 5):
        _, seen = example(seed=epoch)
        recipe.begin_epoch(epoch, 4)
        recipe.end_epoch(seen, manage=False)
        corrected |= slow_largest(seen.losses_NK, cells(~given_NK) - corrected, 2.0)
        assert recipe.missing_NK is not None
        assert cells(recipe.missing_NK) == corrected
    assert len(corrected) == 16
    ledger = recipe.ledger(None)
    assert ledger.managed
    assert cells(ledger.verdict_NK == RELABELLED) == corrected
    assert cells(ledger.labels_NK == 1) == cells(given_NK) | corrected
    table = ledger.table([f"image {n}" for n in range(ROWS)], list("abcde")).query("verdict == 'relabelled'")
    assert {(row.id, row["class"]) for _, row in table.iterrows()} == {(f"image {n}", "abcde"[k]) for n, k in corrected}
    assert set(table["given"]) == {0}
    assert set(table["label"]) == {1}
    assert set(table["weight"]) == {1.0}


def test_splc_doubts_absent_labels_of_which_the_model_is_sure() -> None:
    given_NK, seen = example()
    recipe = SPLC(given_NK, own=SPLCSettings(tau=0.7))
    recipe.end_epoch(seen, manage=False)
    assert recipe.missing_NK is not None
    sure = {cell for cell in cells(~given_NK) if float(seen.confidence_NK[cell]) > 0.7}
    assert cells(recipe.missing_NK) == sure
    assert sure


def pairs(recipe: MissingLabels, seed: int = 0) -> tuple[Step, Tensor]:
    """A step of 16 pairs, and the logits that a network answers with."""
    generator = torch.Generator().manual_seed(seed)
    rows, partners = torch.randint(ROWS, (2, 16), generator=generator)
    views, partner_views = torch.rand(2, 16, 3, generator=generator)
    coefficient = 0.5 + torch.rand(16, generator=generator) / 2
    return Step(Side(rows, views), Side(partners, partner_views), coefficient), torch.randn(16, 5, generator=generator)


@pytest.mark.parametrize("kind", [LLR, LLCt, LLCp])
def test_the_step_is_bce_on_pairs_of_corrected_or_rejected_labels(kind: type[LargeLoss]) -> None:
    given_NK, seen = example()
    recipe = kind(given_NK, own=LargeLossSettings(delta_rel=10.0))
    recipe.begin_epoch(1, 3)
    step, logits = pairs(recipe)
    assert step.partner is not None
    assert step.coefficient is not None
    assert recipe.step(lambda views: logits, step).verdict is None
    recipe.end_epoch(seen, manage=False)
    assert recipe.missing_NK is not None
    missing = cells(recipe.missing_NK)
    result = recipe.step(lambda views: logits, step)

    loss, doubted = 0.0, 0
    for b in range(16):
        λ = float(step.coefficient[b])
        for k in range(CLASSES):
            p = 1 / (1 + math.exp(-float(logits[b, k])))
            for share, rows in ((λ, step.random.rows), (1 - λ, step.partner.rows)):
                cell = int(rows[b]), k
                label, counts = bool(given_NK[cell]), True
                if cell in missing:
                    doubted += 1
                    label, counts = (label, False) if kind is LLR else (True, True)
                loss -= share * counts * math.log(p if label else 1 - p)
            verdict = (AMBIGUOUS if kind is LLR else RELABELLED) if (int(step.random.rows[b]), k) in missing else CLEAN
            assert result.verdict is not None
            assert int(result.verdict[b, k]) == verdict
    assert doubted > 10
    assert float(result.loss) == pytest.approx(loss / 16, rel=1e-5)


def test_rejected_labels_keep_their_value_and_weigh_nothing() -> None:
    given_NK, seen = example()
    recipe = LLR(given_NK, own=LargeLossSettings(delta_rel=5.0))
    assert not recipe.ledger(None).managed
    recipe.begin_epoch(1, 3)
    recipe.end_epoch(seen, manage=True)
    ledger = recipe.ledger(None)
    assert recipe.missing_NK is not None
    assert int(recipe.missing_NK.sum()) == 10
    assert torch.equal(ledger.labels_NK, given_NK.float())
    assert torch.equal(ledger.weight_NK == 0, recipe.missing_NK)
    assert torch.equal(ledger.verdict_NK == AMBIGUOUS, recipe.missing_NK)
