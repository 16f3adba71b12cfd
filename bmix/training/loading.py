"""Loader processes: views prepared ahead, in order, where decoding or augmenting them is the bottleneck."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

import torch
from torch import multiprocessing
from torch.utils.data import DataLoader, Dataset

from bmix.data.augment import Augment, RandAugment
from bmix.data.images import usable_cores
from bmix.data.stores import FeatureViews, Store
from bmix.support.errors import InputError
from bmix.training.handover import Copied, Refused, handed_over
from bmix.training.workers import CHECK_SECONDS, watched_items

Item = TypeVar("Item", covariant=True)

VARIABLE = "BMIX_WORKERS"
MOST_WORKERS = 16
"""Loader processes of one training process by default."""
MOST_ASKED = 256
"""The most loader processes that can be asked for."""
PATIENCE = 30 * 60
"""Seconds after which a loader process that has given nothing is taken for stuck; an item takes seconds."""
SHARED = "/dev/shm"
REMEDY = f"set {VARIABLE} lower, or 0 for none, and start again: training goes on from the last epoch"


class Numbered(Protocol[Item]):
    """The items that a loader gives, made one by one."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Item: ...


def worker_count(images: Store, augment: Augment | FeatureViews | None, processes: int = 1) -> int:
    """Loader processes of each of the `processes` on this machine.

    None on a CPU where images lie in memory and are augmented as a batch. augment: None if the images are used as
    stored. The environment variable BMIX_WORKERS overrides; no result depends on the number.
    """
    asked = os.environ.get(VARIABLE)
    if asked is not None:
        if not asked.isdecimal() or len(asked) > 9 or int(asked) > MOST_ASKED:
            expected = f"a whole number from 0 to {MOST_ASKED}"
            raise InputError(VARIABLE, f"is {asked!r:.40}", expected, "correct or unset it")
        return int(asked)
    busy = isinstance(augment, RandAugment) or not images.in_memory or torch.cuda.is_available()
    return max(1, min(MOST_WORKERS, usable_cores() // processes)) if busy else 0


def load(items: Numbered[Item], workers: int, patience: float = PATIENCE) -> Iterator[Item]:
    """The items in order; from `workers` processes, which copy nothing that can be shared, or from this one.

    Where shared memory has no room for an item, it comes through a pipe; where there is none at all, this process makes
    the items; each is reported once. An InputError of an item is raised as such. Where a process dies, or none gives
    anything for `patience` seconds, the wait ends with an OSError in words.
    """
    own = iter(items[number] for number in range(len(items)))
    if workers == 0 or not len(items):
        return own
    try:
        multiprocessing.get_context().Lock()
    except OSError as error:
        _tell_once(
            f"{SHARED} cannot be used ({error.strerror}); the views are made in the training process, one by one"
        )
        return own
    pin = torch.cuda.is_available()
    loader = DataLoader(
        _Sent(items), batch_size=None, num_workers=workers, pin_memory=pin, timeout=min(patience, CHECK_SECONDS)
    )
    return _received(watched_items(loader, patience, REMEDY), pin)


class _Sent(Dataset[Any]):
    """The items as loader processes hand them over."""

    def __init__(self, items: Numbered[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        try:
            return handed_over(self.items[number])
        except InputError as error:
            return Refused(error)


def _received(sent: Iterator[Any], pin: bool) -> Iterator[Any]:
    for item in sent:
        if isinstance(item, Copied):
            _tell_once(
                f"{SHARED} has no room for the views that loader processes hand over ({_room()}); they come through "
                "pipes, which is slower; fix: more of it, e.g. docker run --shm-size=8g, or fewer processes: "
                f"{VARIABLE}"
            )
        if isinstance(item, Refused):
            raise item.error
        yield item.item(pin) if isinstance(item, Copied) else item


def _room() -> str:
    try:
        status = os.statvfs(SHARED)
    except OSError as error:
        return str(error.strerror)
    free, total = (blocks * status.f_frsize / 2**20 for blocks in (status.f_bavail, status.f_blocks))
    return f"{free:.1f} of {total:.1f} MiB free"


_warned: set[str] = set()


def _tell_once(line: str) -> None:
    """Warn, once for each kind of warning that this process gives."""
    kind = line.partition("(")[0]
    if kind not in _warned:
        _warned.add(kind)
        print(f"warning: {line}", file=sys.stderr, flush=True)
