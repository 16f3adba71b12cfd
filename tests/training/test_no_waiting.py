"""No step reads a value back from the device, for which a GPU and the CPU would wait for each other.

Shown without a GPU on torch's device meta, whose tensors have shapes and no values: whatever needs a value (item, bool,
nonzero, a mask as an index, cpu) raises there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from bmix.data.augment import gentle
from bmix.method.settings import MethodSettings
from bmix.models.backbones import build_classifier
from bmix.models.ensemble import Network, build_members
from bmix.models.heads import HeadSettings
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier
from bmix.recipes import RECIPES
from bmix.training.engine import Engine
from bmix.training.epoch_tables import EpochTotals
from bmix.training.finite import FiniteGuard
from bmix.training.loop import Trainer
from bmix.training.plan import Plan
from bmix.training.steps import SideViews, StepViews

META = torch.device("meta")
IMAGES, BATCH, CLASSES, SIZE, DOUBTFUL = 60, 8, 5, 16, 3


MISSING = {"missing_NK": torch.zeros(IMAGES, CLASSES, dtype=torch.bool, device=META)}
LEARNT: dict[str, dict[str, Tensor]] = {
    "balancemix": {name: torch.rand(IMAGES, CLASSES, device=META) for name in ("p_clean_NK", "confidence_NK")},
    "co-teaching": {"clean_MN": torch.zeros(2, IMAGES, dtype=torch.bool, device=META)},
    "t-estimator": {"flip_rates_2K": torch.zeros(2, CLASSES, dtype=torch.float64, device=META)},
    **dict.fromkeys(("ll-r", "ll-ct", "ll-cp", "splc"), MISSING),
}
"""What recipes have learnt from the pass after an epoch."""
MANAGING = ("balancemix", "ll-r", "ll-ct", "ll-cp", "splc")


class Images:
    in_memory = True

    def __len__(self) -> int:
        return IMAGES

    def read(self, rows_B: Tensor) -> Tensor:
        return torch.zeros(len(rows_B), 3, SIZE, SIZE, dtype=torch.uint8)


def side(relabel: bool) -> SideViews:
    views = torch.zeros(2, DOUBTFUL, 3, SIZE, SIZE, dtype=torch.uint8) if relabel else None
    doubtful = torch.arange(DOUBTFUL if relabel else 0)
    return SideViews(torch.arange(BATCH), torch.zeros(BATCH, 3, SIZE, SIZE, dtype=torch.uint8), doubtful, views)


@pytest.mark.parametrize("audit", ["step", "epoch"])
@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_step(recipe: str, audit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Neither half precision nor the guard's copy to the CPU knows this device.
    monkeypatch.setattr(Engine, "_autocast", lambda self: nullcontext())
    monkeypatch.setattr(FiniteGuard, "watch", lambda *arguments: None)
    names = [str(k) for k in range(CLASSES)]
    head = HeadSettings(dropout=0.5)
    kind = RECIPES[recipe]

    def build(seed: int, weights: str) -> Network:
        return build_classifier("small", "mlp", CLASSES, weights, seed, head_settings=head)

    spec = ClassifierSpec.of("small", "mlp", SIZE, names, head, members=kind.members)
    classifier = Classifier(build_members(kind.members, 0, build, "none"), spec).to(META)
    labels_NK = torch.zeros(IMAGES, CLASSES, dtype=torch.bool, device=META)
    made = kind(labels_NK, MethodSettings(audit=audit), true_NK=labels_NK if kind.needs_truth else None)
    for name, value in LEARNT.get(recipe, {}).items():
        if name != "confidence_NK" or audit == "epoch":
            assert hasattr(made, name)
            setattr(made, name, value)
    made.managing = recipe in MANAGING
    plan = Plan(epochs=3, warmup_epochs=1, batch_size=BATCH, average=0.9)
    trainer = Trainer(classifier, made, Images(), plan, gentle)
    relabel = recipe == "balancemix" and audit == "step"
    partner = side(relabel) if made.mixes else None
    totals = EpochTotals(IMAGES, torch.zeros(IMAGES, CLASSES, dtype=torch.int8, device=META))
    for number in range(2):
        views = StepViews(side(relabel), partner, torch.rand(BATCH) if made.mixes else None, torch.arange(BATCH))
        trainer._step(views, 0.1, number, totals, FiniteGuard(1, None))
    assert (len(totals._verdicts) == len(totals._truth._counts) == 2) == (recipe in MANAGING)


@pytest.mark.parametrize(
    "ask",
    [
        lambda values: bool(values.sum() > 1),
        lambda values: values.sum().item(),
        lambda values: values.nonzero(),
        lambda values: values[values > 0.5],
        lambda values: values.cpu(),
    ],
    ids=["bool", "item", "nonzero", "mask", "cpu"],
)
def test_what_would_wait_fails_there(ask: Callable[[Tensor], object]) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        ask(torch.rand(4, device=META))
