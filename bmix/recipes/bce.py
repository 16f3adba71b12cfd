"""Plain BCE on the given labels (eq. 1), without Mixup."""

from __future__ import annotations

import torch

from bmix.method.objective import balancemix_loss
from bmix.recipes.base import Classify, Recipe, Step, StepResult


class PlainBCE(Recipe):
    """Every label counts as given."""

    def step(self, classify: Classify, step: Step) -> StepResult:
        """Eq. 1 on the step's images."""
        targets = self.given_NK[step.rows].float()
        return StepResult(balancemix_loss(classify(step.views), targets, torch.ones_like(targets)))
