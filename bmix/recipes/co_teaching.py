"""Co-teaching (Han et al., NeurIPS 2018, arXiv 1804.06872), in the multi-label form of the BalanceMix paper."""

from __future__ import annotations

import torch
from torch import Tensor

from bmix.method.mixture import fit_loss_mixtures
from bmix.method.objective import label_losses
from bmix.recipes.shared.base import Classify, EpochPass, Step, StepResult
from bmix.recipes.shared.pairs import MixedPairs, mixed


class CoTeaching(MixedPairs):
    """Two networks, each of which learns from the images that the other takes for clean: twice the cost of mixup.

    After the warm-up, and after every later epoch, a mixture of two Gaussians is fitted to each network's losses of
    whole images; those clean with a probability above 0.5 are what the OTHER network learns from in the next epoch.

    Multi-label form, the BalanceMix paper's: an image's loss is the sum over its labels, and all its labels are kept or
    none; an image with a label that people looked at is kept. Ours on mixed pairs: as BCE is linear in its label, a
    pair's loss is λ times the loss at the random image's labels plus 1 - λ times that at its partner's, and of these
    two terms those of unclean images are left out. Both networks see the same pairs, and the batch norm of either sees
    all of them.

    The losses of both are minimised as one sum, which is the training loss in the history. Predictions, validation and
    `given_loss` are those of the mean of both probabilities.
    """

    members = 2
    clean_MN: Tensor | None = None
    """Which images each network takes for clean, bool (2, N); None during warm-up."""

    def wants_pass(self, manage: bool) -> bool:
        """From the last warm-up epoch on."""
        return manage

    def end_epoch(self, epoch_pass: EpochPass, manage: bool) -> None:
        """Fit the two mixtures of the next epoch."""
        if epoch_pass.member_losses_MNK is not None:
            self.clean_MN = clean_instances(epoch_pass.member_losses_MNK)
            if self.reviewed_NK is not None:
                self.clean_MN = self.clean_MN | self.reviewed_NK.any(dim=1)

    def step(self, classify: Classify, step: Step) -> StepResult:
        """The sum of both networks' losses, each on the images that the other takes for clean."""
        if step.partner is None or step.coefficient is None:
            raise ValueError("the step has no partners to mix with")
        rows, partner_rows = step.random.rows, step.partner.rows
        labels, partner_labels = self.labels(rows), self.labels(partner_rows)
        views, targets = mixed(step, labels, partner_labels)
        first, second = classify(views)
        if self.clean_MN is None:
            return StepResult(self.loss(first, targets) + self.loss(second, targets))
        by_other = self.clean_MN.flip(0).float()
        losses = [
            selected_loss(logits, labels, partner_labels, kept_N[rows], kept_N[partner_rows], step.coefficient)
            for logits, kept_N in zip((first, second), by_other, strict=True)
        ]
        return StepResult(losses[0] + losses[1])

    def state(self) -> dict[str, Tensor]:
        """Which images each network takes for clean."""
        return {} if self.clean_MN is None else {"clean": self.clean_MN}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`."""
        self.clean_MN = state["clean"].to(self.given_NK.device) if "clean" in state else None


def clean_instances(losses_MNK: Tensor) -> Tensor:
    """Which images are clean with a probability above 0.5 by a mixture of two Gaussians on the sums of their losses.

    Takes the losses of M networks, (M, N, K), 0 or more and finite; returns bool (M, N). All images are clean where no
    two components can be told apart (see bmix.method.mixture).
    """
    instance_losses_NM = losses_MNK.sum(dim=2).T.contiguous()
    one_kind = torch.zeros_like(instance_losses_NM, dtype=torch.bool)
    mixtures = fit_loss_mixtures(instance_losses_NM, one_kind)
    return (mixtures.clean_probability(instance_losses_NM, one_kind) > 0.5).T.contiguous()


def selected_loss(
    logits_BK: Tensor,
    labels_BK: Tensor,
    partner_labels_BK: Tensor,
    kept_B: Tensor,
    partner_kept_B: Tensor,
    coefficient_B: Tensor,
) -> Tensor:
    """BCE of mixed pairs at the labels of kept images alone, averaged over what is kept: a scalar.

    A pair's loss is λ · kept · Σ_k BCE(p, y) + (1 - λ) · partner_kept · Σ_k BCE(p, partner's y); labels and kept are 0
    or 1, float. The average is over the sum of the weights λ · kept and (1 - λ) · partner_kept, 1 pair at least; with
    everything kept it is eq. 1 at the mixed labels.
    """
    weight_B, partner_weight_B = coefficient_B * kept_B, (1 - coefficient_B) * partner_kept_B
    at_labels_B = label_losses(logits_BK, labels_BK).sum(dim=1)
    at_partner_labels_B = label_losses(logits_BK, partner_labels_BK).sum(dim=1)
    total = (weight_B * at_labels_B + partner_weight_B * at_partner_labels_B).sum()
    return total / (weight_B + partner_weight_B).sum().clamp(min=1)
