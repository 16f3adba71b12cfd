"""Mixup of two random images with plain BCE (Table 5, second row)."""

from __future__ import annotations

from torch import Tensor

from bmix.method.objective import balancemix_loss
from bmix.recipes.shared.base import Classify, Recipe, Step, StepResult
from bmix.recipes.shared.pairs import mixed


class Mixup(Recipe):
    """Images and given labels are mixed by one λ per pair (eq. 5); the partner is drawn uniformly.

    A recipe with another loss on mixed pairs overrides `loss`.
    """

    mixes = True

    def step(self, classify: Classify, step: Step) -> StepResult:
        """The loss of the mixed images against the mixed given labels."""
        partner_rows = step.random.rows if step.partner is None else step.partner.rows
        views, targets = mixed(step, self.given_NK[step.random.rows].float(), self.given_NK[partner_rows].float())
        return StepResult(self.loss(classify(views), targets))

    def loss(self, logits_BK: Tensor, targets_BK: Tensor) -> Tensor:
        """Plain BCE, eq. 1; targets in [0, 1]."""
        return balancemix_loss(logits_BK, targets_BK)
