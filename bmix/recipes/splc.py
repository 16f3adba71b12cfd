"""SPLC, self-paced loss correction (Zhang et al. 2021, arXiv 2112.07368), on mixed pairs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bmix.recipes.shared.base import EpochPass
from bmix.recipes.shared.corrections import MissingLabels
from bmix.recipes.shared.losses import focal_negative, focal_positive, weigh_both
from bmix.recipes.shared.settings import setting


@dataclass(frozen=True)
class SPLCSettings:
    """The paper's values."""

    tau: float = setting(0.6, "τ, a label given as 0 counts as 1 where p is above it", low=0, high=1)
    margin: float = setting(1.0, "of the logit, taken off in the loss of labels that are 1", low=0, high=100)
    gamma: float = setting(2.0, "γ of the focal losses", low=0, high=100)
    negative: str = setting("focal", "the loss of labels that are 0", choices=("focal", "hill"))
    hill_lambda: float = setting(1.5, "λ of the Hill loss (λ - p) p²", low=1, high=100)


class SPLC(MissingLabels):
    """From the second epoch on a label given as 0 of which the model is sure takes the loss of a label that is 1.

    By the pass after the last epoch (see MissingLabels), where the paper asks at the step itself. A mixed label y
    weights the two losses by y and 1 - y; gradients flow through the focusing weights.
    """

    Settings = SPLCSettings

    def find_missing(self, epoch_pass: EpochPass, epoch: int) -> Tensor:
        """Labels given as 0 with p above τ."""
        return self.doubtable() & (epoch_pass.confidence_NK > self.own.tau)

    def loss(self, logits_BK: Tensor, targets_BK: Tensor) -> Tensor:
        """The focal loss with a margin, and the focal or the Hill loss, weighted by the mixed label."""
        own = self.own
        positive = focal_positive(logits_BK - own.margin, own.gamma)
        if own.negative == "hill":
            negative = hill_loss(logits_BK, own.hill_lambda)
        else:
            negative = focal_negative(logits_BK, own.gamma)
        return weigh_both(positive, negative, targets_BK, 1 - targets_BK)


def hill_loss(logits: Tensor, lambda_: float) -> Tensor:
    """(λ - p) p², the loss of labels that are 0, of any shape; λ of 1 or more."""
    probability = logits.sigmoid()
    return (lambda_ - probability) * probability**2
