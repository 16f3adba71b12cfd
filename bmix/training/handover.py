"""How a loader process hands an item over: its tensors through shared memory, or through a pipe where there is no room.

torch moves tensors to shared memory when it sends them, in a thread that drops an item for which there is no room; the
receiver then waits for ever. Here they are moved before, so that a fault of the system is an answer.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bmix.support.errors import InputError


@dataclass(frozen=True)
class Copied:
    """An item in pieces that need no shared memory: a pickle of all but its tensors, and these as arrays."""

    frame: bytes
    arrays: list[np.ndarray]

    def item(self, pin: bool) -> Any:
        """The item put together again; with `pin` in memory that a GPU can fetch from by itself."""
        tensors = [torch.from_numpy(array) for array in self.arrays]
        return _Assembler(self.frame, [tensor.pin_memory() for tensor in tensors] if pin else tensors).load()


@dataclass(frozen=True)
class Refused:
    """An InputError, which torch would send as an error of another kind."""

    error: InputError


def handed_over(item: Any) -> Any:
    """The item with its tensors in shared memory; `Copied` where that has no room for them."""
    frame = io.BytesIO()
    parts = _Parts(frame)
    parts.dump(item)
    try:
        for tensor in parts.tensors:
            tensor.share_memory_()
    except RuntimeError:
        return Copied(frame.getvalue(), [tensor.numpy() for tensor in parts.tensors])
    return item


class _Parts(pickle.Pickler):
    """Pickles an item without its tensors, which it gathers."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.tensors: list[Tensor] = []

    def persistent_id(self, value: Any) -> int | None:
        if not isinstance(value, Tensor):
            return None
        self.tensors.append(value)
        return len(self.tensors) - 1


class _Assembler(pickle.Unpickler):
    """Undoes `_Parts`; the pickle comes from a process that this one started."""

    def __init__(self, frame: bytes, tensors: list[Tensor]) -> None:
        super().__init__(io.BytesIO(frame))
        self._tensors = tensors

    def persistent_load(self, number: int) -> Tensor:
        return self._tensors[number]
