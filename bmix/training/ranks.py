"""Several processes that train one model: who takes what, and how their parts come together (torch.distributed)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

from bmix.errors import InputError

Item = TypeVar("Item")

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others; one that dies ends all of them at once, by torchrun."""


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


def is_first_process() -> bool:
    """Whether this process is alone or the first of torchrun's; asks the environment alone."""
    return not started_by_torchrun() or os.environ["RANK"] == "0"


def own_device() -> torch.device:
    """The GPU of this process where there are any, else the CPU; InputError for more processes than GPUs."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number = int(os.environ["LOCAL_RANK"]) if started_by_torchrun() else 0
    if number >= torch.cuda.device_count():
        raise InputError(
            "training.processes",
            f"process {number + 1} finds {torch.cuda.device_count()} GPUs",
            "at most one process per GPU",
            "lower training.processes, or hide the GPUs with CUDA_VISIBLE_DEVICES= to train on the CPU",
        )
    return torch.device("cuda", number)


@contextmanager
def process_group() -> Iterator[Ranks]:
    """The ranks that torchrun started, connected; a process that was started alone is the only one."""
    if not started_by_torchrun():
        yield Ranks()
        return
    device = own_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
