"""The guard that stops a run whose loss is no number, and says where."""

from __future__ import annotations

import math

from torch import Tensor

from bmix.errors import InputError
from bmix.training.steps import StepViews

_NAMED = 8


class FiniteGuard:
    """Looks at every loss of an epoch, each while the next step computes, so that no GPU has to wait for it."""

    def __init__(self, epoch: int, image_ids: list[str] | None) -> None:
        self._epoch, self._image_ids = epoch, image_ids
        self._watched: tuple[Tensor, int, list[Tensor], float] | None = None

    def watch(self, loss: Tensor, number: int, views: StepViews, learning_rate: float) -> None:
        """Look at the last step's loss, and keep this one's; number counts from 0."""
        self.look()
        self._watched = (loss, number, [side.rows for side in views.sides], learning_rate)

    def look(self) -> None:
        """InputError with epoch, step, images and learning rate if the loss kept last is NaN or infinite."""
        if self._watched is None:
            return
        loss, number, sides, learning_rate = self._watched
        value, self._watched = loss.item(), None
        if math.isfinite(value):
            return
        images = " mixed with ".join(self._named(rows.tolist()) for rows in sides)
        raise InputError(
            f"training, epoch {self._epoch}, step {number + 1}",
            f"the loss is {value}, at learning rate {learning_rate:.2e}, of the images {images}",
            "a finite loss",
            "lower training.learning_rate, or training.precision: float32; or look at these images",
        )

    def _named(self, rows: list[int]) -> str:
        names = [self._image_ids[row] if self._image_ids is not None else f"row {row}" for row in rows]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more
