"""Given labels believed in the measure in which the network and the audit believe them; no class is harmed.

Of our own making; the mixtures are BalanceMix's (eq. 6-8), the audit is bmix/audit, docs/audit.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from bmix.method.ledger import Ledger
from bmix.method.mixing import mix
from bmix.method.mixture import fit_loss_mixtures
from bmix.method.objective import label_losses
from bmix.method.refine import AMBIGUOUS, CLEAN
from bmix.recipes.shared.base import Classify, EpochPass, Step, StepResult
from bmix.recipes.shared.mixtures import mixtures_of_state, mixtures_state
from bmix.recipes.shared.pairs import MixedPairs
from bmix.recipes.shared.settings import setting


@dataclass(frozen=True)
class AuditedSettings:
    """Settings of `audited`."""

    learnt: float = setting(1.2, "mean loss of a class's clean positives below which the network's word counts", low=0)


class Audited(MixedPairs):
    """Mixup in which every given label keeps its value and weighs p_network · p_audit, each side by itself.

    p_audit: what the stage audit says of the given value; 1 where nothing was audited, and of a class that it cannot
    judge. p_network: eq. 8, once the warm-up is over; 1 of a class that the network has not learnt.
    """

    Settings = AuditedSettings
    uses_audit = True
    needs_pass = True
    p_clean_NK: Tensor | None = None

    def step(self, classify: Classify, step: Step) -> StepResult:
        """λ Σ w BCE(f, y) of the random side and (1 - λ) Σ w BCE(f, y) of its partner."""
        if step.partner is None or step.coefficient is None:
            return super().step(classify, step)
        logits = classify(mix(step.random.views, step.partner.views, step.coefficient))
        sides = (step.random, step.partner)
        weights = [self.weight(side.rows) for side in sides]
        losses = [
            (label_losses(logits, self.given_NK[side.rows].float()) * weight).sum(dim=1)
            for side, weight in zip(sides, weights, strict=True)
        ]
        loss = (step.coefficient * losses[0] + (1 - step.coefficient) * losses[1]).mean()
        return StepResult(loss, None if self.p_clean_NK is None else _verdict(weights[0]))

    def weight(self, rows_B: Tensor) -> Tensor:
        """What the given labels of images count for, float32 (B, K) in [0, 1]."""
        if self.present_NK is None:
            weight = torch.ones(len(rows_B), self.given_NK.shape[1], device=self.given_NK.device)
        else:
            present_BK = self.present_NK[rows_B]
            weight = torch.where(self.given_NK[rows_B], present_BK, 1 - present_BK)
        return weight if self.p_clean_NK is None else weight * self.p_clean_NK[rows_B]

    def end_epoch(self, epoch_pass: EpochPass, manage: bool) -> None:
        """From the last warm-up epoch on, the mixtures of eq. 6-8."""
        if manage:
            self.judge(epoch_pass)

    def judge(self, closing: EpochPass) -> None:
        """Eq. 6-8, but a class that is not learnt keeps its labels as they are."""
        self.mixtures = fit_loss_mixtures(
            closing.losses_NK, self.given_NK, image_ids=self.image_ids, class_names=self.class_names
        )
        p_clean_NK = self.mixtures.clean_probability(closing.losses_NK, self.given_NK)
        # A class whose clean component is still far off would have its right labels called wrong.
        learnt_K = self.mixtures.means[1, :, 0] < self.own.learnt
        self.p_clean_NK = torch.where(learnt_K, p_clean_NK, torch.ones_like(p_clean_NK))
        self.managing = True

    def ledger(self, confidence_NK: Tensor | None) -> Ledger:
        """Every label with the weight that it had in the end; none has another value."""
        if self.p_clean_NK is None:
            return super().ledger(confidence_NK)
        everything = torch.arange(len(self.given_NK), device=self.given_NK.device)
        weight = self.weight(everything)
        return Ledger(
            self.given_NK,
            weight,
            self.given_NK.float(),
            _verdict(weight),
            weight,
            managed=True,
            mixtures=self.mixtures,
        )

    def log_odds(self, losses_M: Tensor, image_M: Tensor, class_M: Tensor) -> Tensor | None:
        """Those of p_network · p_audit, computed from logarithms."""
        if self.mixtures is None:
            return None
        given_M = self.given_NK[image_M, class_M]
        network_M = self.mixtures.clean_log_odds(losses_M, given_M, class_M)
        learnt_K = self.mixtures.means[1, :, 0] < self.own.learnt
        log_share_M = logsigmoid(network_M.masked_fill(~learnt_K[class_M], torch.inf))
        if self.present_NK is not None:
            present_M = self.present_NK[image_M, class_M].double()
            log_share_M = log_share_M + torch.where(given_M, present_M, 1 - present_M).log()
        return log_share_M - torch.log1p(-log_share_M.exp())

    def state(self) -> dict[str, Tensor]:
        """The mixtures and what they say of every label."""
        if self.p_clean_NK is None or self.mixtures is None:
            return {}
        return {
            "p_clean": self.p_clean_NK,
            **mixtures_state(self.mixtures),
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`."""
        self.managing = "p_clean" in state
        if self.managing:
            device = self.given_NK.device
            self.p_clean_NK = state["p_clean"].to(device)
            self.mixtures = mixtures_of_state(state, device)


def _verdict(weight: Tensor) -> Tensor:
    return torch.where(weight > 0.5, CLEAN, AMBIGUOUS).to(torch.uint8)
