"""Plain BCE on the given labels (eq. 1), without Mixup; cross-entropy where every image has one class."""

from __future__ import annotations

from bmix.recipes.shared.base import Classify, Recipe, Step, StepResult


class PlainBCE(Recipe):
    """Every label counts as given."""

    takes_single_label = True

    def step(self, classify: Classify, step: Step) -> StepResult:
        """The plain loss of the step's images."""
        targets = self.given_NK[step.random.rows].float()
        return StepResult(self.plain_loss(classify(step.random.views), targets))
