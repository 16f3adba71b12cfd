"""What the label-free tasks share: they are recipes without labels, and one number of each epoch tells how they do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from bmix.recipes.shared.base import Recipe


@dataclass
class LabelFree(Recipe):
    """A recipe that reads no label: `given_NK` says how many images there are, and nothing in it is looked at.

    measure: what `sums_E2` holds for each epoch so far, its sum and over how many, float64 (E, 2). Of several processes
    each counts its own part.
    """

    sums_E2: Tensor = field(default_factory=lambda: torch.zeros(0, 2, dtype=torch.float64))

    measure: ClassVar[str]

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Start counting."""
        self.sums_E2 = torch.cat([self.sums_E2, self.sums_E2.new_zeros(1, 2)])

    def count(self, total: Tensor, number: int) -> None:
        """Add a step's sum over `number` of what is measured."""
        self.sums_E2[-1, 0] += total.detach().double()
        self.sums_E2[-1, 1] += number

    def measured(self) -> list[float]:
        """The mean of each epoch so far."""
        return (self.sums_E2[:, 0] / self.sums_E2[:, 1]).tolist()

    def told(self) -> list[str]:
        """The last epoch's mean."""
        return [f"{self.measure} {self.measured()[-1]:.3f}"]

    def state(self) -> dict[str, Tensor]:
        """What was measured so far."""
        return {"sums": self.sums_E2}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`."""
        self.sums_E2 = state["sums"].to(self.sums_E2.device)
