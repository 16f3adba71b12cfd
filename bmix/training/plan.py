"""The plan of one training run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Plan:
    """How long and how a run trains. `warmup_epochs` of the `epochs` come before label management starts.

    batch_size: of the whole step, which several processes share. precision: float32, bf16 or fp16.
    """

    epochs: int
    warmup_epochs: int
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    seed: int = 0
    precision: str = "float32"

    def build_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """SGD with momentum or AdamW over every parameter of the network."""
        if self.optimizer == "adamw":
            return torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        return torch.optim.SGD(
            network.parameters(), lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )

    def learning_rate_at(self, progress: float) -> float:
        """Cosine annealing without restart; progress runs from 0 to 1 over ALL epochs, warm-up included."""
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * progress))
