"""Class prototypes in feature space in place of a linear layer (Hayat et al., ICCV 2019, arXiv 1901.07711)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_NEAREST = 1e-6
"""Distance over sigma below which an instance counts as that near, so that its log-odds stay finite: d = 1 - 1e-6."""


def squared_distances(first_AC: Tensor, second_BC: Tensor) -> Tensor:
    """‖a - b‖² of all pairs of rows, float32 (A, B), 0 or more; computed in float32 under autocast too."""
    with torch.autocast(first_AC.device.type, enabled=False):
        first_AC, second_BC = first_AC.float(), second_BC.float()
        lengths_AB = first_AC.square().sum(dim=1)[:, None] + second_BC.square().sum(dim=1)
        return (lengths_AB - 2 * first_AC @ second_BC.T).clamp(min=0)


def diversity(prototypes_KMC: Tensor) -> Tensor:
    """R = mean over a < b of (δ_ab - μ)², μ the mean of the squared distances δ_ab of all prototypes; a scalar.

    It is 0 where all are equally far from each other. 0 for a single prototype.
    """
    prototypes_PC = prototypes_KMC.flatten(0, 1)
    above = torch.ones(len(prototypes_PC), len(prototypes_PC), dtype=torch.bool, device=prototypes_PC.device).triu(1)
    distances = squared_distances(prototypes_PC, prototypes_PC)[above]
    return (distances - distances.mean()).square().mean() if len(distances) else prototypes_PC.sum() * 0


class Affinity(nn.Module):
    """Features (B, C) to log-odds (B, K) of the affinity d(f, k) = max_t exp(-‖f - w_kt‖² / σ), in (0, 1].

    count: prototypes of a class, m. The log-odds make the affinity a class's confidence: sigmoid gives d back, at most
    1 - 1e-6. Far from every prototype d falls below any bound, and its logarithm, -‖f - w‖² / σ, still has a gradient.
    """

    def __init__(self, channels: int, class_count: int, count: int, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma
        self.prototypes = nn.Parameter(torch.empty(class_count, count, channels))
        # Two prototypes are σ apart on average, ‖a - b‖², where the affinity is as steep as anywhere.
        nn.init.normal_(self.prototypes, std=(sigma / (2 * channels)) ** 0.5)

    def forward(self, features_BC: Tensor) -> Tensor:
        """Features (B, C) to log-odds, float32 (B, K)."""
        classes, count, _ = self.prototypes.shape
        distances_BP = squared_distances(features_BC, self.prototypes.flatten(0, 1))
        nearest_BK = distances_BP.unflatten(1, (classes, count)).amin(dim=2) / self.sigma
        nearest_BK = nearest_BK.clamp(min=_NEAREST)
        return -nearest_BK - (-torch.expm1(-nearest_BK)).log()
