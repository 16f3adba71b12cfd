"""Several processes that train one model: which takes what, and how their parts are combined (torch.distributed)."""

from __future__ import annotations

import ctypes
import errno
import json
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
from torch.nn.functional import pad

from bmix.support.errors import InputError

Item = TypeVar("Item")

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others; one that dies ends all of them at once, by torchrun or by a connection
that breaks."""

GRACE_SECONDS = 5.0
"""How long a machine's first process, on meeting an error, waits for torchrun to end it; the others wait twice as
long."""

AGENT = "BMIX_AGENT"
"""The environment variable by which a process knows the number of the torchrun that started it."""


@dataclass(frozen=True)
class Ranks:
    """This process among `count` equal ones; as it stands, the only one, to which every method is the identity.

    here: how many of them share this machine.
    """

    rank: int = 0
    count: int = 1
    here: int = 1

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
        forms = {name: (str(value.dtype).removeprefix("torch."), value.shape) for name, value in tensors.items()}
        received = {}
        for name, (type_name, shape) in json.loads(self.texts(json.dumps(forms))[0]).items():
            dtype = getattr(torch, type_name)
            value = tensors[name].contiguous() if self.first else torch.empty(shape, dtype=dtype, device=device)
            # Not every backend knows bool.
            distributed.broadcast(value.view(torch.uint8) if dtype == torch.bool else value, src=0)
            received[name] = value
        return received

    def texts(self, own: str) -> list[str]:
        """The text of every process, in the order of their ranks; sent as bytes, so that nothing is unpickled."""
        if self.count == 1:
            return [own]
        device = own_device()
        content = torch.frombuffer(bytearray(own.encode()), dtype=torch.uint8).to(device)
        sizes = [torch.zeros(1, dtype=torch.long, device=device) for _ in range(self.count)]
        distributed.all_gather(sizes, torch.tensor([len(content)], device=device))
        padded = pad(content, (0, max(map(int, sizes)) - len(content)))
        parts = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded)
        return [part[: int(size)].cpu().numpy().tobytes().decode() for part, size in zip(parts, sizes, strict=True)]

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
    here, first_here = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["LOCAL_RANK"]) == 0
    ranks = Ranks(distributed.get_rank(), distributed.get_world_size(), here)
    try:
        yield ranks
        # A stage has ended on every machine only when the first process has written its outputs.
        ranks.wait()
    except Exception as error:
        # Torchrun ends a machine's processes when one has ended. So of wrong input, which all meet, a machine's first
        # alone tells; and of a connection that broke because a process of this machine was killed, none.
        if not (first_here and isinstance(error, InputError)):
            time.sleep(GRACE_SECONDS if first_here else 2 * GRACE_SECONDS)
        if _is_lost_connection(error):
            raise ConnectionError(errno.ECONNABORTED, _LOST.format(rank=ranks.rank)) from error
        raise
    # Not after an error: this would wait for ranks that wait for this one, and torchrun ends them all.
    distributed.destroy_process_group()


_LOST = (
    "process {rank} of the training lost its connection to the others: "
    "one of them, or its machine, has ended or answers no more"
)


def _is_lost_connection(error: Exception) -> bool:
    """Whether the backend raised it; gloo's errors are recognised by its name alone."""
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _end_with_parent() -> None:
    """Have Linux end this process when the torchrun of its machine dies, by which nobody would end it otherwise."""
    if sys.platform != "linux":
        return
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    # It may have died before. Which process was the parent a torchrun that is not ours does not tell; then the wait for
    # its store ends after PATIENCE.
    if os.environ.get(AGENT, str(os.getppid())) != str(os.getppid()):
        sys.exit("torchrun has ended")
