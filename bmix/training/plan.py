"""The plan of one training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Plan:
    """How a run trains, and for how long. `warmup_epochs` of the `epochs` come before label management starts.

    batch_size: of the whole step, which several processes share. backbone_rate: of the backbone, as a share of
    learning_rate. average: the decay of a moving average of the weights, 0 for none. precision: float32, bf16 or fp16.
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
        """Cosine annealing without restart; progress runs from 0 to 1 over ALL epochs, warm-up included."""
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * progress))
