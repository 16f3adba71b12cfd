"""ASL, the asymmetric loss (Ben-Baruch et al., ICCV 2021, arXiv 2009.14119), on mixed pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from bmix.recipes.shared.losses import weigh_both
from bmix.recipes.shared.pairs import MixedPairs
from bmix.recipes.shared.settings import setting


@dataclass(frozen=True)
class ASLSettings:
    """The paper's values."""

    gamma_positive: float = setting(0.0, "γ+, focusing of labels that are 1", low=0, high=100)
    gamma_negative: float = setting(4.0, "γ-, focusing of labels that are 0", low=0, high=100)
    margin: float = setting(0.05, "m, a label that is 0 costs nothing where p is at most m", low=0, high=0.99)


class ASL(MixedPairs):
    """Labels that are 0 are focused harder than those that are 1, and cost nothing where the model is sure enough.

    Multi-label form: the paper's own. A mixed label y weights the two losses by y and 1 - y.
    """

    Settings = ASLSettings

    def loss(self, logits_BK: Tensor, targets_BK: Tensor) -> Tensor:
        """Both losses of every label, weighted by its mixed value."""
        own = self.own
        return asymmetric_loss(logits_BK, targets_BK, own.gamma_positive, own.gamma_negative, own.margin)


def asymmetric_loss(
    logits_BK: Tensor, targets_BK: Tensor, gamma_positive: float, gamma_negative: float, margin: float
) -> Tensor:
    """Σ_k -y (1 - p)^γ+ log p - (1 - y) p_m^γ- log(1 - p_m) with p_m = max(p - m, 0), averaged over the batch.

    Takes logits (B, K), targets (B, K) in [0, 1], γ+ and γ- of 0 or more, m in [0, 1). The focusing weights are
    constants of the step: no gradient flows through them. Returns a scalar.
    """
    with torch.no_grad():
        positive_weight = (gamma_positive * logsigmoid(-logits_BK)).exp()
        negative_weight = (logits_BK.sigmoid() - margin).clamp(min=0) ** gamma_negative
    positive = -positive_weight * logsigmoid(logits_BK)
    # 1 - p_m = min(1 - p + m, 1), whose logarithm is finite for m above 0 alone.
    absent = (-logits_BK).sigmoid() + margin
    negative = -negative_weight * (absent.clamp(max=1).log() if margin else logsigmoid(-logits_BK))
    return weigh_both(positive, negative, targets_BK, 1 - targets_BK)
