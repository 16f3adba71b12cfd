"""The steps of one epoch: which images are paired, and their views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bmix.data.augment import Augment
from bmix.data.stores import FeatureViews, Store, relabelling_views
from bmix.method.sampling import draw
from bmix.randomness import keys, torch_generator
from bmix.recipes.shared.base import Recipe
from bmix.training.passes import VIEWS
from bmix.training.ranks import Ranks


@dataclass(frozen=True)
class EpochPairs:
    """The pairs: the random sampler visits every row once; partners are None if the recipe does not mix."""

    rows_N: Tensor
    partners_N: Tensor | None
    coefficient_N: Tensor | None


def draw_pairs(count: int, recipe: Recipe, seed: int, epoch: int, partners: int | None = None) -> EpochPairs:
    """The pairs of one epoch; without a probability of the recipe's, partners are drawn uniformly, with replacement.

    count: the rows that the random sampler visits. partners: how many of them, the first, are drawn as partners; None:
    all.
    """
    rows_N = torch.randperm(count, generator=torch_generator(seed, "random sampler", epoch))
    if not recipe.mixes:
        return EpochPairs(rows_N, None, None)
    if recipe.pairs_with_itself:
        return EpochPairs(rows_N, rows_N, torch.ones(count))
    probability_N = recipe.partner_probability()
    if probability_N is None:
        partners = count if partners is None else partners
        probability_N = torch.full((partners,), 1 / partners, dtype=torch.float64)
    partners_N = draw(probability_N.cpu(), count, torch_generator(seed, "minority sampler", epoch))
    coefficient_N = recipe.coefficients(count, torch_generator(seed, "mixing", epoch))
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
        return self._each(lambda value: value.to(device, non_blocking=True))

    def pin_memory(self) -> SideViews:
        """The same where a GPU can fetch it by itself."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> SideViews:
        relabel = None if self.relabel is None else change(self.relabel)
        return SideViews(change(self.rows), change(self.train), change(self.doubtful), relabel)


@dataclass(frozen=True)
class StepViews:
    """The views of one process's part of a step: the random side, its partner, and λ.

    positions: (B,) of the pairs in the epoch. share: of the step.
    """

    random: SideViews
    partner: SideViews | None
    coefficient: Tensor | None
    positions: Tensor
    share: float = 1.0

    @property
    def sides(self) -> list[SideViews]:
        """The random side, and its partner if there is one."""
        return [side for side in (self.random, self.partner) if side is not None]

    def to(self, device: torch.device) -> StepViews:
        """The same on another device."""
        return self._each(lambda value: value.to(device), lambda value: value.to(device, non_blocking=True))

    def pin_memory(self) -> StepViews:
        """The same where a GPU can fetch it by itself."""
        return self._each(SideViews.pin_memory, Tensor.pin_memory)

    def _each(self, on_side: Callable[[SideViews], SideViews], on_tensor: Callable[[Tensor], Tensor]) -> StepViews:
        partner = None if self.partner is None else on_side(self.partner)
        coefficient = None if self.coefficient is None else on_tensor(self.coefficient)
        return StepViews(on_side(self.random), partner, coefficient, self.positions, self.share)


def split_steps(count: int, batch_size: int, ranks: int = 1) -> list[Tensor]:
    """The positions of every step: each instance once; a last step too small for all processes joins the one before."""
    steps = list(torch.arange(count).split(batch_size))
    # Batch norm cannot train on a single value per channel, which is what one image of a small size leaves.
    if len(steps) > 1 and len(steps[-1]) < 2 * ranks:
        steps[-2:] = [torch.cat(steps[-2:])]
    return steps


class EpochSteps:
    """Step number -> the views of this process's part. Every view has a key of seed, epoch, side and position of its
    own, so that neither loader workers nor the number of processes change one."""

    def __init__(
        self,
        images: Store,
        augment: Augment | FeatureViews,
        pairs: EpochPairs,
        doubtful_N: Tensor | None,
        batch_size: int,
        seed: int,
        epoch: int,
        ranks: Ranks | None = None,
    ) -> None:
        ranks = ranks or Ranks()
        self.images, self.augment, self.pairs = images, augment, pairs
        self.doubtful_N = doubtful_N
        self.seed, self.epoch = seed, epoch
        steps = split_steps(len(pairs.rows_N), batch_size, ranks.count)
        self.positions = [ranks.share(positions) for positions in steps]
        self.shares = [len(own) / len(whole) for own, whole in zip(self.positions, steps, strict=True)]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, step: int) -> StepViews:
        if step >= len(self):
            raise IndexError(step)
        positions = self.positions[step]
        rows = self.pairs.rows_N[positions]
        if self.pairs.partners_N is None or self.pairs.coefficient_N is None:
            random = self._side("random", rows, self.images.read(rows), positions)
            return StepViews(random, None, None, positions, self.shares[step])
        partners = self.pairs.partners_N[positions]
        images, partner_images = read_once(self.images, rows, partners)
        random = self._side("random", rows, images, positions)
        # The views are keyed by the name that the side has in the paper.
        partner = self._side("minority", partners, partner_images, positions)
        return StepViews(random, partner, self.pairs.coefficient_N[positions], positions, self.shares[step])

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
