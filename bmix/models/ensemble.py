"""Several networks that are trained side by side and predict as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from bmix.models.networks import FeatureNetwork, ImageNetwork
from bmix.randomness import derive_seed

Network = ImageNetwork | FeatureNetwork


class Ensemble(nn.Module):
    """M networks of one build on the same input: in training mode every one's logits, else one prediction of all."""

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, inputs_B: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) or features (B, D) to logits: (M, B, K) in training mode, else (B, K)."""
        logits_MBK = self.member_logits(inputs_B)
        return logits_MBK if self.training else average(logits_MBK)

    def member_logits(self, inputs_B: Tensor) -> Tensor:
        """The logits of every network, (M, B, K), whatever the mode."""
        return torch.stack([member(inputs_B) for member in self.members])


def average(logits_M: Tensor) -> Tensor:
    """The log-odds of the mean of the probabilities over the first axis, float32, finite for logits of any size.

    Of one network alone the logits are returned as they are.
    """
    if len(logits_M) == 1:
        return logits_M[0]
    logits_M = logits_M.float()
    return logsigmoid(logits_M).logsumexp(dim=0) - logsigmoid(-logits_M).logsumexp(dim=0)


def build_members(members: int, seed: int, build: Callable[[int, str], Network], weights: str) -> Network | Ensemble:
    """One network, or an ensemble whose members differ in their first weights.

    build: a network from a seed and from weights, as `build_classifier` takes them. Members that start from the same
    weights, given by file, differ in the layer of the classes: that of all but the first is drawn again.
    """
    if members == 1:
        return build(seed, weights)
    networks = []
    for member in range(members):
        own_seed = seed if member == 0 else derive_seed(seed, "member", member)
        network = build(own_seed, weights)
        if member:
            drawn = build(own_seed, "none").head.state_dict()
            own_layer = {name: drawn[name] for name in network.head.class_tensors}
            network.head.load_state_dict(own_layer, strict=False)
        networks.append(network)
    return Ensemble(networks)
