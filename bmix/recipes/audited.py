"""Given labels believed in the measure in which the network and the audit believe them; no class is harmed.

Of our own making; the mixtures are BalanceMix's (eq. 6-8), the audit is bmix/audit, docs/audit.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmix.method.ledger import Ledger
from bmix.method.mixing import mix
from bmix.method.mixture import LossMixtures, fit_loss_mixtures
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
    """Mixup in which every given label keeps its value and weighs what is believed of it, each side by itself.

    p_audit: what the stage audit says of the given value. p_network: eq. 8, once the warm-up is over; 1 of a class that
    the network has not learnt. A label weighs p_audit · (p_audit + (1 - p_audit) · p_network): the network's doubts
    count in the measure in which the audit is unsure. Where nothing was audited, and of a class that the audit cannot
    judge (`present_NK` is NaN there), it weighs p_network, before the end of warm-up 1. An audit that found that doubts
    do not pay repeats the given labels; then all of them weigh 1.
    """

    Settings = AuditedSettings
    uses_audit = True
    needs_pass = True
    p_clean_NK: Tensor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.present_NK is not None:
            unjudged_NK = self.present_NK.isnan()
            self.judged_K = ~unjudged_NK.any(dim=0)
            self.present_NK = torch.where(unjudged_NK, self.given_NK.float(), self.present_NK)

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
        """What the given labels of images count for, float32 (B, K) in [0, 1]: see the class."""
        weight = self._doubted_weight(rows_B)
        return weight if self.reviewed_NK is None else weight.masked_fill(self.reviewed_NK[rows_B], 1)

    def _doubted_weight(self, rows_B: Tensor) -> Tensor:
        """The same, as if nobody had looked at any label."""
        given_BK = self.given_NK[rows_B]
        network_BK = None if self.p_clean_NK is None else self.p_clean_NK[rows_B]
        if self.present_NK is None:
            return torch.ones_like(given_BK, dtype=torch.float32) if network_BK is None else network_BK
        present_BK = self.present_NK[rows_B]
        audit_BK = torch.where(given_BK, present_BK, 1 - present_BK)
        return audit_BK if network_BK is None else believed(audit_BK, network_BK, self.judged_K)

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
        self.p_clean_NK = torch.where(self._learnt(), p_clean_NK, torch.ones_like(p_clean_NK))
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
        """Those of the weight; of a class that only the network judges, those of eq. 8, which do not saturate."""
        if self.mixtures is None:
            return None
        given_M = self.given_NK[image_M, class_M]
        network_M = self.mixtures.clean_log_odds(losses_M, given_M, class_M)
        network_M = network_M.masked_fill(~self._learnt()[class_M], torch.inf)
        if self.present_NK is None:
            return network_M
        present_M = self.present_NK[image_M, class_M].double()
        audit_M = torch.where(given_M, present_M, 1 - present_M)
        both_M = torch.logit(believed(audit_M, network_M.sigmoid(), self.judged_K[class_M]))
        return torch.where(self.judged_K[class_M], both_M, network_M)

    def _learnt(self) -> Tensor:
        assert self.mixtures is not None
        return learnt_classes(self.mixtures, self.own.learnt)

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


def learnt_classes(mixtures: LossMixtures, bound: float) -> Tensor:
    """Whether the network has learnt each class, bool (K,): its clean positives have a mean loss below `bound`."""
    return mixtures.means[1, :, 0] < bound


def believed(audit: Tensor, network: Tensor, judged_K: Tensor) -> Tensor:
    """What given labels weigh by two shares in [0, 1], of one shape (..., K): the audit's, and the network's alone of
    classes that the audit does not judge; judged_K: bool."""
    return torch.where(judged_K, audit * (audit + (1 - audit) * network), network)


def _verdict(weight: Tensor) -> Tensor:
    return torch.where(weight > 0.5, CLEAN, AMBIGUOUS).to(torch.uint8)
