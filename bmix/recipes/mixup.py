"""Mixup of two random images with plain BCE (Table 5, second row)."""

from __future__ import annotations

import torch
from torch import Tensor

from bmix.method.mixing import mix
from bmix.method.objective import balancemix_loss
from bmix.recipes.base import Classify, Recipe, Step, StepResult


class Mixup(Recipe):
    """Images and given labels are mixed by one λ per pair (eq. 5); the second image is drawn uniformly."""

    mixes = True

    def step(self, classify: Classify, step: Step) -> StepResult:
        """Plain BCE of the mixed images against the mixed given labels."""
        targets = self.given_NK[step.rows].float()
        return mixed_step(classify, step, targets, self.given_NK[step.minority_rows].float(), torch.ones_like(targets))


def mixed_step(
    classify: Classify,
    step: Step,
    labels_BK: Tensor,
    minority_labels_BK: Tensor,
    weight_BK: Tensor,
    verdict_BK: Tensor | None = None,
) -> StepResult:
    """Eq. 5 on images and labels, then eq. 10 with the random side's weights."""
    assert step.minority_views is not None
    assert step.coefficient is not None
    views = mix(step.views, step.minority_views, step.coefficient)
    targets = mix(labels_BK, minority_labels_BK, step.coefficient)
    return StepResult(balancemix_loss(classify(views), targets, weight_BK), verdict_BK)
