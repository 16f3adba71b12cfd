"""LL-R: labels given as 0 with large losses are rejected for one epoch (Kim et al. 2022, arXiv 2206.03740)."""

from __future__ import annotations

from torch import Tensor

from bmix.method.mixing import mix
from bmix.method.refine import AMBIGUOUS
from bmix.recipes.shared.base import Classify, Step, StepResult
from bmix.recipes.shared.large_loss import LargeLoss
from bmix.recipes.shared.losses import bce_negative, bce_positive, weigh_both
from bmix.recipes.shared.pairs import mixed


class LLR(LargeLoss):
    """The labels that LargeLoss doubts cost nothing for one epoch.

    The loss at a mixed label is λ times the loss at the random image's label plus 1 - λ times that at its partner's; of
    these two terms a rejected label's own is 0.
    """

    counts_missing_as = AMBIGUOUS

    def step(self, classify: Classify, step: Step) -> StepResult:
        """BCE without the terms of rejected labels."""
        if self.missing_NK is None or step.partner is None or step.coefficient is None:
            return super().step(classify, step)
        rows, partner_rows = step.random.rows, step.partner.rows
        labels = self.labels(rows)
        views, present = mixed(step, labels, self.labels(partner_rows))
        absent = mix(self._counts_as_absent(rows), self._counts_as_absent(partner_rows), step.coefficient)
        logits = classify(views)
        loss = weigh_both(bce_positive(logits), bce_negative(logits), present, absent)
        return StepResult(loss, self.verdict(rows), labels)

    def _counts_as_absent(self, rows_B: Tensor) -> Tensor:
        assert self.missing_NK is not None
        return (~(self.given_NK[rows_B] | self.missing_NK[rows_B])).float()
