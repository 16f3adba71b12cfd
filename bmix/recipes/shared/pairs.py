"""Mixed pairs: eq. 5 on the images and labels of a step, and what every recipe that trains on them starts from."""

from __future__ import annotations

from torch import Tensor

from bmix.method.mixing import mix
from bmix.recipes.shared.base import Classify, Recipe, Side, Step, StepResult


def mixed(step: Step, labels_BK: Tensor, partner_labels_BK: Tensor) -> tuple[Tensor, Tensor]:
    """The views and targets of a step's pairs, mixed by one λ each. ValueError for a step without partners."""
    if step.partner is None or step.coefficient is None:
        raise ValueError("the step has no partners to mix with")
    views = mix(step.random.views, step.partner.views, step.coefficient)
    return views, mix(labels_BK, partner_labels_BK, step.coefficient)


class MixedPairs(Recipe):
    """Mixup of two random images: both, and their labels, are mixed by one λ per pair (eq. 5).

    As it stands the partner is drawn uniformly, every label counts as given, and the loss is plain. A recipe with
    another loss on mixed labels overrides `loss`; one that corrects labels before they are mixed overrides `labels`.
    """

    mixes = True

    def step(self, classify: Classify, step: Step) -> StepResult:
        """The loss of the mixed images against their mixed labels."""
        partner_rows = step.random.rows if step.partner is None else step.partner.rows
        labels = self.labels(step.random.rows)
        views, targets = mixed(step, labels, self.labels(partner_rows))
        return StepResult(self.loss(classify(views), targets), self.verdict(step.random.rows), labels)

    def labels(self, rows_B: Tensor) -> Tensor:
        """The labels of images before they are mixed, float32 (B, K) in [0, 1]."""
        return self.given_NK[rows_B].float()

    def partner_labels(self, partner: Side) -> Tensor:
        """As `labels` has them."""
        return self.labels(partner.rows)

    def verdict(self, rows_B: Tensor) -> Tensor | None:
        """The verdicts on the labels of images (bmix.method.refine), uint8 (B, K); None if none is managed."""
        return None

    def loss(self, logits_BK: Tensor, targets_BK: Tensor) -> Tensor:
        """What one step minimises, a scalar; targets in [0, 1]."""
        return self.plain_loss(logits_BK, targets_BK)
