"""BalanceMix (Algorithm 1): minority-augmented mixing and label-wise management."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from bmix.method.ledger import Ledger
from bmix.method.mixture import fit_loss_mixtures
from bmix.method.objective import balancemix_loss
from bmix.method.refine import refine_labels
from bmix.method.sampling import RareLabels, class_confidence, instance_scores, sampling_probability
from bmix.recipes.shared.base import Classify, EpochPass, Side, Step, StepResult
from bmix.recipes.shared.mixtures import mixtures_of_state, mixtures_state
from bmix.recipes.shared.pairs import MixedPairs, mixed


class BalanceMix(MixedPairs):
    """Warm-up: minority mixing with plain BCE; then the labels of both images are refined before they are mixed.

    `method.audit` step: eq. 9 asks the current model about two views of every doubtful image at each step. epoch: the
    pass at the end of an epoch shows two views of every image, and the next epoch's steps look its answers up.
    """

    probability_N: Tensor | None = None
    p_clean_NK: Tensor | None = None
    confidence_NK: Tensor | None = None

    @cached_property
    def _rare_labels(self) -> RareLabels:
        return RareLabels.of(self.given_NK)

    @property
    def needs_pass(self) -> bool:  # type: ignore[override]
        """Whether the sampler or the mixtures are on."""
        return self.settings.minority or self.settings.clean

    def passes_views(self, manage: bool) -> bool:
        """With `method.audit` epoch, once labels are re-labelled."""
        settings = self.settings
        return settings.audit == "epoch" and settings.clean and settings.relabel and manage

    def partner_probability(self) -> Tensor | None:
        """Eq. 4; uniform before the first scores and with `minority` off."""
        return self.probability_N

    def doubtful_rows(self) -> Tensor | None:
        """Images with a label that eq. 9 asks about at a step: not clean, and not a trusted positive."""
        if self.settings.audit == "epoch" or not (self.managing and self.settings.relabel) or self.p_clean_NK is None:
            return None
        return self._doubtful(self.p_clean_NK).any(dim=1)

    def step(self, classify: Classify, step: Step) -> StepResult:
        """Eq. 9 for both sides, eq. 5, then eq. 10 with the weights of the random side."""
        if not self.managing or step.partner is None:
            return super().step(classify, step)
        labels, verdict, weight = self._refine(step.random.rows, step.random.confidence)
        views, targets = mixed(step, labels, self.partner_labels(step.partner))
        return StepResult(balancemix_loss(classify(views), targets, weight), verdict, labels)

    def partner_labels(self, partner: Side) -> Tensor:
        """The refined ones, once labels are managed."""
        return self._refine(partner.rows, partner.confidence)[0] if self.managing else super().partner_labels(partner)

    def end_epoch(self, epoch_pass: EpochPass, manage: bool) -> None:
        """Eq. 2-4, and from the last warm-up epoch on eq. 6-8."""
        if self.settings.minority:
            presence_K, absence_K = class_confidence(epoch_pass.confidence_NK, self._rare_labels)
            scores_N = instance_scores(self._rare_labels, presence_K, absence_K)
            self.probability_N = sampling_probability(scores_N, self.settings.sharpness)
        if manage:
            self.judge(epoch_pass)

    def judge(self, closing: EpochPass) -> None:
        """Eq. 6-8; with `method.audit` epoch the answers of eq. 9 too."""
        if not self.settings.clean:
            return
        self.mixtures = fit_loss_mixtures(
            closing.losses_NK, self.given_NK, image_ids=self.image_ids, class_names=self.class_names
        )
        self.p_clean_NK = self.trusting(self.mixtures.clean_probability(closing.losses_NK, self.given_NK))
        self.managing = True
        if self.passes_views(manage=True):
            self.confidence_NK = closing.confidence_NK

    def ledger(self, confidence_NK: Tensor | None) -> Ledger:
        """Every label refined by the last judgement."""
        if self.p_clean_NK is None:
            return super().ledger(confidence_NK)
        everything = torch.arange(len(self.given_NK), device=self.given_NK.device)
        labels, verdict, weight = self._refine(everything, confidence_NK)
        return Ledger(self.given_NK, self.p_clean_NK, labels, verdict, weight, managed=True, mixtures=self.mixtures)

    def log_odds(self, losses_M: Tensor, image_M: Tensor, class_M: Tensor) -> Tensor | None:
        """Those of eq. 8."""
        if self.mixtures is None:
            return None
        return self.mixtures.clean_log_odds(losses_M, self.given_NK[image_M, class_M], class_M)

    def state(self) -> dict[str, Tensor]:
        """The sampler's probabilities, the mixtures, and what the last pass said of every label."""
        state = {} if self.probability_N is None else {"probability": self.probability_N}
        if self.p_clean_NK is not None and self.mixtures is not None:
            state["p_clean"] = self.p_clean_NK
            state |= mixtures_state(self.mixtures)
        if self.confidence_NK is not None:
            state["confidence"] = self.confidence_NK
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`."""
        device = self.given_NK.device
        self.probability_N = state["probability"].to(device) if "probability" in state else None
        self.confidence_NK = state["confidence"].to(device) if "confidence" in state else None
        self.managing = "p_clean" in state
        if self.managing:
            self.p_clean_NK = state["p_clean"].to(device)
            self.mixtures = mixtures_of_state(state, device)

    def _doubtful(self, p_clean_NK: Tensor) -> Tensor:
        doubtful_NK = p_clean_NK <= 0.5
        return doubtful_NK & ~self.given_NK if self.settings.trust_positives else doubtful_NK

    def _refine(self, rows: Tensor, confidence_BK: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        assert self.p_clean_NK is not None
        p_clean_BK = self.p_clean_NK[rows]
        if confidence_BK is None:
            # 0.5 re-labels nothing: where no view was passed, no label of the image is doubtful.
            confidence_BK = torch.full_like(p_clean_BK, 0.5) if self.confidence_NK is None else self.confidence_NK[rows]
        return refine_labels(
            self.given_NK[rows],
            p_clean_BK,
            confidence_BK,
            self.settings.epsilon,
            trust_positives=self.settings.trust_positives,
            relabel=self.settings.relabel,
            ambiguous=self.settings.ambiguous,
        )
