"""The exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_PREFIX = "average."


class WeightAverage:
    """The moving average of every floating tensor of a network, batch norm's statistics included.

    decay: in (0, 1); over the first steps, n of them done, it is at most (1 + n) / (10 + n), so that the first weights
    are soon forgotten. What is not floating is taken over as it is.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network, self._decay = network, decay
        self._steps = torch.zeros((), dtype=torch.long)
        self._values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are after a step."""
        done = int(self._steps)
        share = 1 - min(self._decay, (1 + done) / (10 + done))
        self._steps += 1
        for name, value in self._network.state_dict().items():
            if value.is_floating_point():
                self._values[name].lerp_(value, share)
            else:
                self._values[name].copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the network hold the average, and its own weights again afterwards."""
        own = {name: value.detach().clone() for name, value in self._network.state_dict().items()}
        self._network.load_state_dict(self._values)
        try:
            yield
        finally:
            self._network.load_state_dict(own)

    def settle(self) -> None:
        """Have the network hold the average for good."""
        self._network.load_state_dict(self._values)

    def state(self) -> dict[str, Tensor]:
        """All that training goes on from."""
        return {f"{_PREFIX}{name}": value for name, value in self._values.items()} | {f"{_PREFIX}steps": self._steps}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Go on from a `state()`; KeyError if the tensors hold none."""
        self._steps.copy_(tensors[f"{_PREFIX}steps"])
        for name, value in self._values.items():
            value.copy_(tensors[f"{_PREFIX}{name}"])
