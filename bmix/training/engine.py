"""Where and how the network computes: its device, its precision, its processes, and the update of its weights."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from bmix.models.ensemble import average
from bmix.models.heads import AffinityHead, KeyedDropout
from bmix.models.store import Classifier
from bmix.randomness import keys
from bmix.training.average import WeightAverage
from bmix.training.plan import Plan
from bmix.training.ranks import Ranks

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# A CPU gains nothing from more at once, and what lies between the layers grows with it.
_CPU_BATCH = 64


class Engine:
    """One classifier in training; it changes `classifier` in place.

    Below float32, convolutions and products run in the half precision of `plan.precision` (autocast) and everything
    that becomes a loss or a probability in float32; fp16 scales the loss against underflow.
    """

    def __init__(self, classifier: Classifier, plan: Plan, ranks: Ranks) -> None:
        self.classifier, self.ranks = classifier, ranks
        self.device = classifier.device
        if classifier.spec.features is None:
            classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = plan.build_optimizer(classifier)
        self.average = WeightAverage(classifier.network, plan.average) if plan.average else None
        self._dropouts = [module for module in classifier.modules() if isinstance(module, KeyedDropout)]
        self._affinities = [module for module in classifier.modules() if isinstance(module, AffinityHead)]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=plan.precision == "fp16")
        self._dtype = PRECISIONS[plan.precision]
        self._replica: torch.nn.Module = classifier
        if ranks.count > 1:
            with warnings.catch_warnings():
                # Its successor is not in the older versions that the engine runs with.
                warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
                self._replica = DistributedDataParallel(classifier, broadcast_buffers=False)
        norms = [module for module in classifier.modules() if isinstance(module, _BatchNorm)]
        running = [value for norm in norms for value in (norm.running_mean, norm.running_var)]
        self._statistics = [value for value in running if value is not None]

    def normalised(self, views_B: Tensor) -> Tensor:
        """Views as the network takes them, on its device."""
        return self.classifier.normalise(views_B.to(self.device, non_blocking=True))

    def classify(self, views_B: Tensor) -> Tensor:
        """Logits, float32 (B, K), in training mode and with gradients, of normalised views; (M, B, K) of M networks."""
        self.classifier.train()
        with self._autocast():
            logits_BK: Tensor = self._replica(views_B)
        return logits_BK.float()

    @torch.no_grad()
    def logits(self, views_B: Tensor) -> Tensor:
        """Logits, float32 (B, K), in evaluation mode and without gradients, of views as they come from the store."""
        return average(self.member_logits(views_B))

    @torch.no_grad()
    def member_logits(self, views_B: Tensor) -> Tensor:
        """The same of every network by itself, float32 (M, B, K)."""
        self.classifier.eval()
        parts = views_B.split(_CPU_BATCH) if self.device.type == "cpu" else [views_B]
        with self._autocast():
            return torch.cat([self.classifier.member_logits(self.normalised(part)).float() for part in parts], dim=1)

    def penalised(self, loss: Tensor) -> Tensor:
        """The loss of a step, and what the heads add to it."""
        for head in self._affinities:
            loss = loss + head.penalty()
        return loss

    def update(self, loss: Tensor, learning_rate: float, share: float = 1.0) -> None:
        """One step of the optimiser on the mean loss of this process's part, which is `share` of the whole step."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["scale"]
        self.optimizer.zero_grad(set_to_none=True)
        # The gradients are averaged over the processes, whose parts may differ in size.
        scaled = loss * (share * self.ranks.count) if self.ranks.count > 1 else loss
        self.scaler.scale(scaled).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        # Batch norm's running statistics come from each process's part; evaluation mode needs one of all parts.
        self.ranks.average_(self._statistics)
        if self.average is not None:
            self.average.update()

    def key_dropout(self, positions_B: Tensor, *purpose: int | str) -> None:
        """Have dropout draw from the keys of these positions in the coming step; purpose: seed and epoch."""
        seed, *rest = purpose
        for number, dropout in enumerate(self._dropouts):
            dropout.keys_B = keys(positions_B.numpy(), int(seed), "dropout", number, *rest)

    def measured(self) -> AbstractContextManager[None]:
        """While it is entered, the network holds the weights that are measured: their average if there is one."""
        return nullcontext() if self.average is None else self.average.applied()

    def settle(self) -> None:
        """Have the network hold the weights that are measured for good; training is over."""
        if self.average is not None:
            self.average.settle()
            self.average = None

    @property
    def loss_scale(self) -> float:
        """What the loss is multiplied with against underflow; 1 where it is not scaled."""
        return float(self.scaler.get_scale())

    def state(self) -> dict[str, Any]:
        """What is neither weights nor the optimiser's: the scale of the loss; empty if it is not scaled."""
        return self.scaler.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`."""
        if state:
            self.scaler.load_state_dict(state)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32)
