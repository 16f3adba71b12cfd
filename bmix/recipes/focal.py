"""Focal loss (Lin et al., ICCV 2017, arXiv 1708.02002, eq. 4 and 5) on mixed pairs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bmix.recipes.shared.losses import focal_negative, focal_positive, weigh_both
from bmix.recipes.shared.pairs import MixedPairs
from bmix.recipes.shared.settings import setting


@dataclass(frozen=True)
class FocalSettings:
    """γ of the focusing, and α of the balancing, which the paper uses in detection and the comparisons here do not."""

    gamma: float = setting(2.0, "γ, how much labels that are easy already count less; 0 is BCE", low=0, high=100)
    alpha: float = setting(
        0.0, "α, the weight of labels that are 1; those that are 0 have 1 - α; 0: no weights", low=0, high=1
    )


class Focal(MixedPairs):
    """-(1 - p_t)^γ log p_t, p_t the confidence in a label's value; gradients flow through the focusing weight too.

    Multi-label form: one loss a label, summed over the classes. A mixed label y weights the two losses by y and 1 - y.
    """

    Settings = FocalSettings

    def loss(self, logits_BK: Tensor, targets_BK: Tensor) -> Tensor:
        """Both losses of every label, weighted by its mixed value."""
        return focal_loss(logits_BK, targets_BK, self.own.gamma, self.own.alpha)


def focal_loss(logits_BK: Tensor, targets_BK: Tensor, gamma: float, alpha: float = 0.0) -> Tensor:
    """Σ_k -y α (1 - p)^γ log p - (1 - y) (1 - α) p^γ log(1 - p), averaged over the batch: a scalar.

    Takes logits (B, K) and targets (B, K) in [0, 1]; γ 0 or more; α in (0, 1], or 0 for no weights.
    """
    positive_weight, negative_weight = (alpha, 1 - alpha) if alpha else (1.0, 1.0)
    return weigh_both(
        positive_weight * focal_positive(logits_BK, gamma),
        negative_weight * focal_negative(logits_BK, gamma),
        targets_BK,
        1 - targets_BK,
    )
