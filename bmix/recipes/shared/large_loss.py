"""Large losses of labels given as 0, which the recipes ll-r, ll-ct and ll-cp doubt.

Kim et al., "Large Loss Matters in Weakly Supervised Multi-Label Classification", CVPR 2022, arXiv 2206.03740.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmix.recipes.shared.base import EpochPass
from bmix.recipes.shared.corrections import MissingLabels
from bmix.recipes.shared.settings import setting


@dataclass(frozen=True)
class LargeLossSettings:
    """Δ_rel in the papers' units: 0.2 for the 10 epochs of Kim et al., the others the BalanceMix paper's."""

    delta_rel: float = setting(
        0.1,
        "Δ_rel, per cent of all labels; the papers: 0.2 for 10 epochs, 0.1 (20), 0.05 (40), 0.04 (50)",
        low=0,
        high=100,
    )


class LargeLoss(MissingLabels):
    """In epoch t the (t - 1)·Δ_rel per cent of all labels with the largest losses among those given as 0 are doubted.

    The paper takes them from each batch, by the current model; here they come from the whole training set, by the pass
    after epoch t - 1. The selection knows no classes: frequent ones take most of it.
    """

    Settings = LargeLossSettings

    def find_missing(self, epoch_pass: EpochPass, epoch: int) -> Tensor:
        """The largest losses, again for every epoch."""
        return largest_losses(epoch_pass.losses_NK, self.doubtable(), (epoch - 1) * self.own.delta_rel)


def largest_losses(losses_NK: Tensor, candidate_NK: Tensor, per_cent: float) -> Tensor:
    """The candidates with the largest losses, as many as `per_cent` of ALL N·K labels, or all candidates if fewer.

    Takes losses (N, K) float and candidates (N, K) bool; returns bool (N, K). The number is rounded down. Of equal
    losses at the limit the first in the order of images and classes are taken, so that equal inputs give equal bits.
    """
    count = min(int(per_cent / 100 * losses_NK.numel()), int(candidate_NK.sum()))
    if count == 0:
        return torch.zeros_like(candidate_NK)
    losses = losses_NK.masked_fill(~candidate_NK, -torch.inf).flatten()
    limit = losses.topk(count, sorted=False).values.min()
    found = losses > limit
    at_limit = (losses == limit).nonzero().squeeze(1)
    found[at_limit[: count - int(found.sum())]] = True
    return found.view_as(candidate_NK)
