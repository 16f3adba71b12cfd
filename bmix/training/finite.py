"""The guard that stops a run whose loss or weights are not finite, and says where."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor

from bmix.support.errors import InputError, listed
from bmix.training.steps import StepViews

_LEAST_SCALE = 2.0**-24


@dataclass(frozen=True)
class _Watched:
    """A step's loss on its way to the CPU, and where it comes from; number counts from 0."""

    loss: Tensor
    arrived: torch.cuda.Event | None
    number: int
    sides: list[Tensor]
    learning_rate: float

    @classmethod
    def of(cls, loss: Tensor, number: int, views: StepViews, learning_rate: float) -> _Watched:
        sides = [side.rows for side in views.sides]
        if loss.device.type != "cuda":
            return cls(loss, None, number, sides, learning_rate)
        copy = torch.empty((), dtype=loss.dtype, pin_memory=True).copy_(loss, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        return cls(copy, arrived, number, sides, learning_rate)

    def value(self) -> float:
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.loss.item()


class FiniteGuard:
    """Looks at every loss of an epoch, each while the next step computes, so that no GPU has to wait for it."""

    def __init__(self, epoch: int, image_ids: list[str] | None) -> None:
        self._epoch, self._image_ids = epoch, image_ids
        self._last: _Watched | None = None

    def watch(self, loss: Tensor, number: int, views: StepViews, learning_rate: float) -> None:
        """Look at the last step's loss, and keep this one's; number counts from 0."""
        self._look()
        self._last = _Watched.of(loss, number, views, learning_rate)

    def end(self, parameters: Iterable[Tensor], loss_scale: float) -> None:
        """Look at the last loss of the epoch and at the weights that its update left; InputError as for a loss."""
        self._look()
        if not bool(torch.stack([value.detach().isfinite().all() for value in parameters]).all()):
            self._refuse("the weights are not finite after this step")
        if loss_scale < _LEAST_SCALE:
            self._refuse(f"the scale of the loss has fallen to {loss_scale}: no step had finite gradients for long")

    def _look(self) -> None:
        """InputError with epoch, step, images and learning rate if the loss kept last is NaN or infinite."""
        if self._last is not None and not math.isfinite(value := self._last.value()):
            self._refuse(f"the loss is {value}")

    def _refuse(self, found: str) -> NoReturn:
        if self._last is None:
            raise ValueError("no step has been watched")
        images = " mixed with ".join(self._named(rows.tolist()) for rows in self._last.sides)
        raise InputError(
            f"training, epoch {self._epoch}, step {self._last.number + 1}",
            f"{found}, at learning rate {self._last.learning_rate:.2e}, of the images {images}",
            "finite numbers",
            "lower training.learning_rate, or training.precision: float32; or look at these images",
        )

    def _named(self, rows: list[int]) -> str:
        names = [self._image_ids[row] if self._image_ids is not None else f"row {row}" for row in rows]
        return listed(names)
