"""Loader processes: views prepared ahead, in order, where decoding or augmenting them is the bottleneck."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from bmix.data.augment import Augment, RandAugment
from bmix.data.images import usable_cores
from bmix.data.stores import FeatureViews, Store
from bmix.support.errors import InputError

Item = TypeVar("Item", covariant=True)

MOST_WORKERS = 16


class Numbered(Protocol[Item]):
    """A list of what a loader gives, made item by item."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Item: ...


def worker_count(images: Store, augment: Augment | FeatureViews | None, processes: int = 1) -> int:
    """Loader processes of each of the `processes` on this machine.

    None on a CPU where images lie in memory and are augmented as a batch. augment: None where the images are used as
    stored. The environment variable BMIX_WORKERS overrides; no result depends on the number.
    """
    asked = os.environ.get("BMIX_WORKERS")
    if asked is not None:
        if not asked.isdecimal():
            raise InputError("BMIX_WORKERS", f"is {asked!r}", "a whole number from 0 on", "correct or unset it")
        return int(asked)
    busy = isinstance(augment, RandAugment) or not images.in_memory or torch.cuda.is_available()
    return max(1, min(MOST_WORKERS, usable_cores() // processes)) if busy else 0


def load(items: Numbered[Item], workers: int) -> Iterator[Item]:
    """The items in order; from `workers` processes, which copy nothing that can be shared, or from this one."""
    if workers == 0 or not len(items):
        return iter(items[number] for number in range(len(items)))
    dataset: Dataset[Item] = items  # type: ignore[assignment]
    return iter(DataLoader(dataset, batch_size=None, num_workers=workers, pin_memory=torch.cuda.is_available()))
