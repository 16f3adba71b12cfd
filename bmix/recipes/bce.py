"""Plain BCE on the given labels (eq. 1), without Mixup."""

from __future__ import annotations

from bmix.method.objective import balancemix_loss
from bmix.recipes.shared.base import Classify, Recipe, Step, StepResult


class PlainBCE(Recipe):
    """Every label counts as given."""

    def step(self, classify: Classify, step: Step) -> StepResult:
        """Eq. 1 on the step's images."""
        targets = self.given_NK[step.random.rows].float()
        return StepResult(balancemix_loss(classify(step.random.views), targets))
