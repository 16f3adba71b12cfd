"""T-estimator: flip rates from label correlations, then importance reweighting (Li et al., NeurIPS 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmix.method.mixing import mix
from bmix.recipes.shared.base import Classify, EpochPass, Step, StepResult
from bmix.recipes.shared.flip_rates import estimate_flip_rates, select_right
from bmix.recipes.shared.losses import bce_negative, bce_positive, weigh_both
from bmix.recipes.shared.pairs import MixedPairs, mixed
from bmix.recipes.shared.settings import setting

_LARGEST_LOGIT = 60.0


@dataclass(frozen=True)
class TEstimatorSettings:
    """How the images are selected by which flip rates are estimated."""

    window: int = setting(5, "epochs over which losses are averaged, the last ones of the warm-up", low=1, high=1000)
    minimum: int = setting(
        50, "images selected with a class present, and with it absent, below which its labels count as right", low=1
    )


class TEstimator(MixedPairs):
    """At the end of the warm-up the two flip rates of every class are estimated; then each label's BCE is reweighted.

    The paper is the source of "Estimating Noise Transition Matrix with Label Correlations for Noisy Multi-Label
    Learning"; it is multi-label itself. Its 2×2 matrix of a class is here its two flip rates ρ0 = P(given 1 | true 0)
    and ρ1 = P(given 0 | true 1). Ours: they are estimated once and kept, as the noise does not change; a mixed label y
    weights the loss of a 1 and that of a 0 by y and 1 - y; and p is the model's probability for the mixed image.

    Losses of the last `window` epochs, (window, N, K) numbers, are kept until then, in the checkpoint too. The rates
    lie in models/warmup/state.safetensors under recipe.flip_rates, (2, K): ρ0 and ρ1.
    """

    Settings = TEstimatorSettings
    losses_ENK: Tensor | None = None
    flip_rates_2K: Tensor | None = None

    def wants_pass(self, manage: bool) -> bool:
        """Until the rates are estimated."""
        return self.flip_rates_2K is None

    def end_epoch(self, epoch_pass: EpochPass, manage: bool) -> None:
        """Keep the losses; estimate the rates from them at the end of the warm-up."""
        latest_1NK = epoch_pass.losses_NK[None]
        losses_ENK = latest_1NK if self.losses_ENK is None else torch.cat([self.losses_ENK, latest_1NK])
        self.losses_ENK = losses_ENK[-self.own.window :]
        if manage:
            right_NK = select_right(self.losses_ENK.mean(dim=0), self.given_NK)
            self.flip_rates_2K = estimate_flip_rates(self.given_NK, right_NK, self.own.minimum)
            self.losses_ENK = None

    def step(self, classify: Classify, step: Step) -> StepResult:
        """The loss of the mixed images; a label that people looked at is not reweighted."""
        if self.flip_rates_2K is None or self.reviewed_NK is None or step.partner is None or step.coefficient is None:
            return super().step(classify, step)
        rows, partner_rows = step.random.rows, step.partner.rows
        labels, partner_labels = self.labels(rows), self.labels(partner_rows)
        views, _ = mixed(step, labels, partner_labels)
        logits = classify(views)
        of_present, of_absent = importance(logits, self.flip_rates_2K)
        reviewed, partner_reviewed = self.reviewed_NK[rows], self.reviewed_NK[partner_rows]

        def weighed(weight: Tensor, own: Tensor, partner: Tensor) -> Tensor:
            first, second = own * weight.masked_fill(reviewed, 1), partner * weight.masked_fill(partner_reviewed, 1)
            return mix(first, second, coefficient)

        coefficient = step.coefficient
        present = weighed(of_present, labels, partner_labels)
        absent = weighed(of_absent, 1 - labels, 1 - partner_labels)
        loss = weigh_both(bce_positive(logits), bce_negative(logits), present, absent)
        return StepResult(loss, self.verdict(rows), labels)

    def loss(self, logits_BK: Tensor, targets_BK: Tensor) -> Tensor:
        """BCE, its two terms weighted once the flip rates are known."""
        if self.flip_rates_2K is None:
            return super().loss(logits_BK, targets_BK)
        of_present, of_absent = importance(logits_BK, self.flip_rates_2K)
        return weigh_both(
            of_present * bce_positive(logits_BK), of_absent * bce_negative(logits_BK), targets_BK, 1 - targets_BK
        )

    def state(self) -> dict[str, Tensor]:
        """The losses of the last epochs; after warm-up the flip rates."""
        state = {} if self.losses_ENK is None else {"losses": self.losses_ENK}
        return state if self.flip_rates_2K is None else state | {"flip_rates": self.flip_rates_2K}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`."""
        device = self.given_NK.device
        self.losses_ENK = state["losses"].to(device) if "losses" in state else None
        self.flip_rates_2K = state["flip_rates"].to(device) if "flip_rates" in state else None


@torch.no_grad()
def importance(logits_BK: Tensor, flip_rates_2K: Tensor) -> tuple[Tensor, Tensor]:
    """p(y) / p̃(y) of every label for y = 1 and for y = 0, with p̃ = p pushed through the flip rates.

    p̃(1) = (1 - ρ1) p + ρ0 (1 - p), p̃(0) = 1 - p̃(1). Takes logits (B, K) and rates (2, K), ρ0 then ρ1, in [0, 1] with
    a sum below 1; returns two float tensors (B, K), finite and not negative. The weights are constants of the step: no
    gradient flows through them. Logits beyond ±60 count as ±60.
    """
    rate_0, rate_1 = flip_rates_2K.to(logits_BK)
    odds = logits_BK.clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT).exp()
    return 1 / (1 - rate_1 + rate_0 / odds), 1 / (1 - rate_0 + rate_1 * odds)
