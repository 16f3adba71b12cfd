"""The max-margin loss of class affinities (Hayat et al., ICCV 2019, arXiv 1901.07711), on the given labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmix.method.objective import confidence
from bmix.recipes.shared.base import Classify, Recipe, Step, StepResult
from bmix.recipes.shared.settings import setting


@dataclass(frozen=True)
class MaxMarginSettings:
    """λ of the paper's public re-implementation."""

    margin: float = setting(0.75, "λ, by which a present class's affinity is to exceed an absent one's", low=0, high=1)


class MaxMargin(Recipe):
    """A present class is to stand a margin above every absent one; images are not mixed.

    Made for `model.head: affinity`, which adds the paper's regulariser; with another head d is the sigmoid of its
    logits. Multi-label form: the pairs of an image's present and absent classes, averaged over the present ones, which
    is the published loss where exactly one class is present.
    """

    Settings = MaxMarginSettings
    takes_single_label = True

    def step(self, classify: Classify, step: Step) -> StepResult:
        """The loss of the step's images by their given labels."""
        targets = self.given_NK[step.random.rows].float()
        return StepResult(max_margin_loss(confidence(classify(step.random.views)), targets, self.own.margin))


def max_margin_loss(affinity_BK: Tensor, targets_BK: Tensor, margin: float) -> Tensor:
    """Σ_p Σ_{n ≠ p} y_p (1 - y_n) max(0, λ + d_n - d_p) / Σ_p y_p, averaged over the batch.

    Takes affinities d (B, K) in [0, 1] and targets y (B, K) in [0, 1]; a soft target weights the pairs of which it is
    part. Of an image without a present class, d_p is 1: Σ_n max(0, λ + d_n - 1). Returns a scalar; memory grows with
    B · K².
    """
    present_BK = targets_BK.to(affinity_BK)
    absent_BK = 1 - present_BK
    violated_BPN = (margin + affinity_BK[:, None, :] - affinity_BK[:, :, None]).clamp(min=0)
    weight_BPN = present_BK[:, :, None] * absent_BK[:, None, :]
    itself_KK = torch.eye(affinity_BK.shape[1], dtype=torch.bool, device=affinity_BK.device)
    pairs_B = (violated_BPN * weight_BPN.masked_fill(itself_KK, 0)).sum(dim=(1, 2))
    count_B = present_BK.sum(dim=1)
    none_B = ((margin + affinity_BK - 1).clamp(min=0) * absent_BK).sum(dim=1)
    # 1 stands in for a count of 0, so that no gradient of the branch that is not taken is NaN.
    return torch.where(count_B > 0, pairs_B / count_B.where(count_B > 0, 1.0), none_B).mean()
