"""The plan of one training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

SCHEDULES = ("cosine", "constant", "one-cycle")
RISE = 0.3


@dataclass(frozen=True)
class Plan:
    """How a run trains, and for how long. `warmup_epochs` of the `epochs` come before label management starts.

    batch_size: of the whole step, which several processes share. backbone_rate: of the backbone, as a share of
    learning_rate. average: the decay of a moving average of the weights, 0 for none. precision: float32, bf16 or fp16.
    schedule: one of SCHEDULES.
    """

    epochs: int
    warmup_epochs: int
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    backbone_rate: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    average: float = 0.0
    seed: int = 0
    precision: str = "float32"
    schedule: str = "cosine"

    def build_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """SGD with momentum or AdamW over every parameter of the network; each group's `scale` is that of its rate.

        The parameters of a `backbone` have a group of their own unless backbone_rate is 1.
        """
        groups: list[dict[str, Any]] = [{"params": list(network.parameters()), "scale": 1.0}]
        if self.backbone_rate != 1:
            named = list(network.named_parameters())
            body = [value for name, value in named if ".backbone." in f".{name}"]
            head = [value for name, value in named if ".backbone." not in f".{name}"]
            groups = [{"params": head, "scale": 1.0}, {"params": body, "scale": self.backbone_rate}]
            groups = [group for group in groups if group["params"]]
        if self.optimizer == "adamw":
            return torch.optim.AdamW(groups, lr=self.learning_rate, weight_decay=self.weight_decay)
        return torch.optim.SGD(groups, lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)

    def learning_rate_at(self, progress: float) -> float:
        """The rate at a moment; progress runs from 0 to 1 over ALL epochs, warm-up included.

        cosine: annealing without restart. constant: the same throughout. one-cycle: up by a cosine from 1/25 of the
        rate to all of it in the first RISE of the run, then down by one to next to nothing (Smith and Topin 2018, as
        torch's OneCycleLR; the momentum stays).
        """
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "one-cycle":
            first = self.learning_rate / 25
            if progress < RISE:
                return _between(first, self.learning_rate, progress / RISE)
            return _between(self.learning_rate, first / 10_000, (progress - RISE) / (1 - RISE))
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * progress))


def _between(first: float, last: float, progress: float) -> float:
    """From first to last along half a cosine."""
    return last + 0.5 * (first - last) * (1 + math.cos(math.pi * progress))
