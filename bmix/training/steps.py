"""The steps of one epoch: which images meet, and their views, from workers where decoding is the bottleneck."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bmix.data.augment import Augment, RandAugment
from bmix.data.stores import FeatureViews, Store, relabelling_views
from bmix.errors import InputError
from bmix.method.mixing import mixing_coefficient
from bmix.method.sampling import draw
from bmix.randomness import keys, torch_generator

VIEWS = 2
"""Views that eq. 9 averages over."""


@dataclass(frozen=True)
class EpochPairs:
    """Who meets whom: the random sampler visits every row once; partners are None for a recipe that does not mix."""

    rows_N: Tensor
    partners_N: Tensor | None
    coefficient_N: Tensor | None


def draw_pairs(
    count: int, mixes: bool, probability_N: Tensor | None, alpha: float, seed: int, epoch: int
) -> EpochPairs:
    """The pairs of one epoch; `probability_N` None draws the partners uniformly, with replacement as well."""
    rows_N = torch.randperm(count, generator=torch_generator(seed, "random sampler", epoch))
    if not mixes:
        return EpochPairs(rows_N, None, None)
    probability_N = torch.full((count,), 1 / count, dtype=torch.float64) if probability_N is None else probability_N
    partners_N = draw(probability_N.cpu(), count, torch_generator(seed, "minority sampler", epoch))
    coefficient_N = mixing_coefficient(alpha, count, torch_generator(seed, "mixing", epoch))
    return EpochPairs(rows_N, partners_N, coefficient_N)


@dataclass(frozen=True)
class SideViews:
    """The views of one side of a step: `rows` (B,), `train` (B, ...); `relabel` (VIEWS, D, ...) of the D doubtful
    instances among them, which stand at `doubtful` (D,). A view is uint8 (3, S, S), or a vector of features."""

    rows: Tensor
    train: Tensor
    doubtful: Tensor
    relabel: Tensor | None

    def to(self, device: torch.device) -> SideViews:
        """The same on another device."""
        rows, train, doubtful = (
            value.to(device, non_blocking=True) for value in (self.rows, self.train, self.doubtful)
        )
        relabel = None if self.relabel is None else self.relabel.to(device, non_blocking=True)
        return SideViews(rows, train, doubtful, relabel)


@dataclass(frozen=True)
class StepViews:
    """The views of one step: the random side, the minority side, and λ."""

    random: SideViews
    minority: SideViews | None
    coefficient: Tensor | None


class EpochSteps(Dataset[StepViews]):
    """Step number -> its views. Every view has a key of seed, epoch, side and position: workers change nothing."""

    def __init__(
        self,
        images: Store,
        augment: Augment | FeatureViews,
        pairs: EpochPairs,
        doubtful_N: Tensor | None,
        batch_size: int,
        seed: int,
        epoch: int,
    ) -> None:
        self.images, self.augment, self.pairs = images, augment, pairs
        self.doubtful_N = doubtful_N
        self.seed, self.epoch = seed, epoch
        self.positions = list(torch.arange(len(pairs.rows_N)).split(batch_size))
        # Batch norm cannot train on a single value per channel, which is what one image of a small size leaves.
        if len(self.positions) > 1 and len(self.positions[-1]) == 1:
            self.positions[-2:] = [torch.cat(self.positions[-2:])]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, step: int) -> StepViews:
        if step >= len(self):
            raise IndexError(step)
        positions = self.positions[step]
        rows = self.pairs.rows_N[positions]
        if self.pairs.partners_N is None or self.pairs.coefficient_N is None:
            return StepViews(self._side("random", rows, self.images.read(rows), positions), None, None)
        partners = self.pairs.partners_N[positions]
        images, partner_images = read_once(self.images, rows, partners)
        random = self._side("random", rows, images, positions)
        minority = self._side("minority", partners, partner_images, positions)
        return StepViews(random, minority, self.pairs.coefficient_N[positions])

    def _side(self, side: str, rows: Tensor, images: Tensor, positions: Tensor) -> SideViews:
        train = self.augment(images, self._keys(positions, side, "train"))
        if self.doubtful_N is None:
            return SideViews(rows, train, torch.empty(0, dtype=torch.long), None)
        doubtful = self.doubtful_N[rows].nonzero().squeeze(1)
        if not len(doubtful):
            return SideViews(rows, train, doubtful, None)
        keys_VB = [self._keys(positions[doubtful], side, f"relabel {view}") for view in range(VIEWS)]
        return SideViews(rows, train, doubtful, relabelling_views(images[doubtful], self.augment, keys_VB))

    def _keys(self, positions: Tensor, side: str, purpose: str) -> np.ndarray:
        return keys(positions.numpy(), self.seed, "view", side, purpose, self.epoch)


def read_once(store: Store, rows: Tensor, partners: Tensor) -> tuple[Tensor, Tensor]:
    """What the store holds at rows (B,) and at partners (B,); what is not in memory is decoded once if in both."""
    if store.in_memory:
        return store.read(rows), store.read(partners)
    distinct, positions = torch.cat([rows, partners]).unique(return_inverse=True)
    images = store.read(distinct)
    return images[positions[: len(rows)]], images[positions[len(rows) :]]


def closing_views(images: Tensor, augment: Augment | FeatureViews, rows: Tensor, seed: int) -> Tensor:
    """The views of the closing audit, (VIEWS, B, ...), keyed by row."""
    keys_VB = [keys(rows.cpu().numpy(), seed, "view", "closing", view) for view in range(VIEWS)]
    return relabelling_views(images, augment, keys_VB)


def worker_count(images: Store, augment: Augment | FeatureViews) -> int:
    """Loader processes: none where images lie in memory and are augmented as a batch; BMIX_WORKERS overrides."""
    asked = os.environ.get("BMIX_WORKERS")
    if asked is not None:
        if not asked.isdecimal():
            raise InputError("BMIX_WORKERS", f"is {asked!r}", "a whole number from 0 on", "correct or unset it")
        return int(asked)
    busy = isinstance(augment, RandAugment) or not images.in_memory
    return min(8, os.cpu_count() or 1) if busy else 0


def load_steps(steps: EpochSteps) -> Iterator[StepViews]:
    """The steps in order, prepared ahead by loader processes where that pays."""
    workers = worker_count(steps.images, steps.augment)
    if workers == 0:
        return iter(steps[step] for step in range(len(steps)))
    return iter(DataLoader(steps, batch_size=None, num_workers=workers))
