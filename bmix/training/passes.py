"""Passes over many instances in evaluation mode, for the losses of the given labels or for confidences alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bmix.data.augment import Augment
from bmix.data.stores import FeatureViews, Store, plain_views, relabelling_views
from bmix.method.objective import label_losses
from bmix.models.ensemble import average
from bmix.randomness import keys
from bmix.recipes.shared.base import EpochPass
from bmix.support.pace import Pace
from bmix.training.engine import Engine
from bmix.training.loading import load, worker_count

VIEWS = 2
"""Views that eq. 9 averages over."""

VIEWS_AT_ONCE = 256

QUIET_SECONDS = 20.0
"""Between two lines that tell how far a pass is."""


@dataclass(frozen=True)
class PlainViews:
    """Every instance once, as stored; of features view 0."""

    augment: None = None
    count: int = 1

    def of(self, store: Store, rows_B: Tensor) -> Tensor:
        """(1, B, ...)"""
        return plain_views(store, rows_B)[None]


@dataclass(frozen=True)
class DrawnViews:
    """VIEWS augmented views of every instance, drawn for one purpose, such as the pass after an epoch, by row."""

    augment: Augment | FeatureViews
    seed: int
    purpose: tuple[str | int, ...]
    count: int = VIEWS

    def of(self, store: Store, rows_B: Tensor) -> Tensor:
        """(VIEWS, B, ...)"""
        keys_VB = [keys(rows_B.numpy(), self.seed, "view", *self.purpose, view) for view in range(self.count)]
        return relabelling_views(store.read(rows_B), self.augment, keys_VB)


Seen = PlainViews | DrawnViews


class _Blocks:
    """Block number -> its rows and their views (V, B, ...)."""

    def __init__(self, store: Store, blocks: list[Tensor], seen: Seen) -> None:
        self.store, self.blocks, self.seen = store, blocks, seen

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        rows_B = self.blocks[number]
        return rows_B, self.seen.of(self.store, rows_B)


def _logits(engine: Engine, store: Store, seen: Seen, rows: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's blocks: positions within `rows` (B,), and each network's logits (M, V, B, K).

    rows None: all of the store.
    """
    rows = torch.arange(len(store)) if rows is None else rows.cpu()
    positions = list(torch.arange(len(rows)).split(VIEWS_AT_ONCE // seen.count)) if len(rows) else []
    own = engine.ranks.own(positions)
    workers = worker_count(store, seen.augment, engine.ranks.here)
    blocks = load(_Blocks(store, [rows[p] for p in own], seen), workers)
    done, count = 0, sum(map(len, own))
    with Pace("judged", count, seconds=QUIET_SECONDS) as pace:
        for position_B, (_, views) in zip(own, blocks, strict=True):
            logits = engine.member_logits(views.flatten(0, 1))
            yield position_B.to(engine.device, non_blocking=True), logits.view(len(logits), *views.shape[:2], -1)
            done += len(position_B)
            if engine.ranks.first:
                pace.tell(done)


def epoch_pass(engine: Engine, store: Store, given_NK: Tensor, seen: Seen) -> EpochPass:
    """The pass that eq. 2-4 and 6-8 work on: BCE of every GIVEN label and every confidence, by the current weights.

    Of several views both are the mean. given_NK lies on the engine's device. Every process gets the whole of it. Of an
    ensemble they are those of its prediction, and each network's own losses are there besides.
    """
    losses_NK = torch.zeros(given_NK.shape, device=engine.device)
    confidence_NK = torch.zeros_like(losses_NK)
    members = engine.classifier.spec.members
    member_losses_MNK = torch.zeros(members if members > 1 else 0, *given_NK.shape, device=engine.device)
    for rows, logits_MVBK in _logits(engine, store, seen):
        logits_VBK = average(logits_MVBK)
        losses_NK[rows] = label_losses(logits_VBK, given_NK[rows].expand_as(logits_VBK)).mean(dim=0)
        confidence_NK[rows] = logits_VBK.sigmoid().mean(dim=0)
        if members > 1:
            given_MVBK = given_NK[rows].expand_as(logits_MVBK)
            member_losses_MNK[:, rows] = label_losses(logits_MVBK, given_MVBK).mean(dim=1)
    engine.ranks.sum_(losses_NK, confidence_NK, *member_losses_MNK)
    return EpochPass(losses_NK, confidence_NK, member_losses_MNK if members > 1 else None)


def confidence(engine: Engine, store: Store, seen: Seen, rows: Tensor | None = None) -> Tensor:
    """f_k(x) of `rows`, by default of all, the mean over the views: float32 (N, K) in [0, 1]."""
    count = len(store) if rows is None else len(rows)
    confidence_NK = torch.zeros(count, len(engine.classifier.spec.classes), device=engine.device)
    for positions, logits_MVBK in _logits(engine, store, seen, rows):
        confidence_NK[positions] = engine.classifier.confidence(average(logits_MVBK)).mean(dim=0)
    engine.ranks.sum_(confidence_NK)
    return confidence_NK
