"""Several processes that train one model: who takes what, and how their parts come together (torch.distributed)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

from bmix.support.errors import InputError

Item = TypeVar("Item")

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others; one that dies ends all of them at once, by torchrun."""

GRACE_SECONDS = 5.0
"""How long the first process, on meeting an error, waits for torchrun to end it; the others wait twice as long."""


@dataclass(frozen=True)
class Ranks:
    """This process among `count` equal ones; as it stands, the only one, to which every method is the identity."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and tells."""
        return self.rank == 0

    def share(self, positions: Tensor) -> Tensor:
        """This process's part of one step: the parts are disjoint, cover all, and differ in length by one at most."""
        return positions.tensor_split(self.count)[self.rank]

    def own(self, blocks: Sequence[Item]) -> Sequence[Item]:
        """Every `count`-th block, whole: a row is computed in the same company whatever the number of processes."""
        return blocks[self.rank :: self.count]

    def sum_(self, *tensors: Tensor) -> None:
        """Add up each tensor over the processes, in place."""
        if self.count > 1:
            for tensor in tensors:
                distributed.all_reduce(tensor)

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Average float tensors over the processes, in place, in one message."""
        if self.count > 1 and tensors:
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            distributed.all_reduce(flat)
            for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
                tensor.copy_((part / self.count).view_as(tensor))

    def from_first(self, tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
        """The first process's tensors, on every process."""
        if self.count == 1:
            return tensors
        forms = [{name: (value.dtype, value.shape) for name, value in tensors.items()}]
        distributed.broadcast_object_list(forms, src=0, device=device)
        received = {}
        for name, (dtype, shape) in forms[0].items():
            value = tensors[name].contiguous() if self.first else torch.empty(shape, dtype=dtype, device=device)
            # Not every backend knows bool.
            distributed.broadcast(value.view(torch.uint8) if dtype == torch.bool else value, src=0)
            received[name] = value
        return received

    def wait(self) -> None:
        """Go on once every process is here."""
        if self.count > 1:
            distributed.barrier()


def started_by_torchrun() -> bool:
    """Whether torchrun, which tells a process its number in the environment, started this one."""
    return {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()


def own_device() -> torch.device:
    """The GPU of this process where there are any, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]) if started_by_torchrun() else 0)


@contextmanager
def process_group() -> Iterator[Ranks]:
    """The ranks that torchrun started, connected; a process that was started alone is the only one."""
    if not started_by_torchrun():
        yield Ranks()
        return
    device = own_device()
    _end_with_parent()
    if device.type == "cuda":
        torch.cuda.set_device(device)
        distributed.init_process_group("nccl", timeout=PATIENCE, device_id=device)
    else:
        distributed.init_process_group("gloo", timeout=PATIENCE)
    ranks = Ranks(distributed.get_rank(), distributed.get_world_size())
    try:
        yield ranks
    except Exception as error:
        # Torchrun ends the others when one has ended. So of wrong input, which all meet, the first alone tells; and of
        # a connection that broke because a process was killed, none.
        if not (ranks.first and isinstance(error, InputError)):
            time.sleep(GRACE_SECONDS if ranks.first else 2 * GRACE_SECONDS)
        raise
    # Not after an error: this would wait for ranks that wait for this one, and torchrun ends them all.
    distributed.destroy_process_group()


def _end_with_parent() -> None:
    """Have Linux end this process when torchrun dies, by which nobody would end it otherwise."""
    if sys.platform != "linux":
        return
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() == 1:
        sys.exit("torchrun has ended")
