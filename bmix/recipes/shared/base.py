"""What a recipe is: the part of a training run that differs from method to method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from bmix.method.ledger import Ledger
from bmix.method.mixing import mixing_coefficient
from bmix.method.mixture import LossMixtures
from bmix.method.objective import balancemix_loss
from bmix.method.settings import MethodSettings
from bmix.recipes.shared.losses import cross_entropy

Classify = Callable[[Tensor], Tensor]
"""Normalised images (B, 3, H, W) -> logits (B, K), in training mode; (M, B, K) of M networks."""


@dataclass(frozen=True)
class Side:
    """One image of each of a step's pairs.

    rows: (B,) rows of the training set. views: normalised float32 (B, 3, H, W). confidence: the mean of f_k over the
    relabelling views, float32 (B, K), 0.5 in rows that the recipe did not call doubtful; None if it called none
    doubtful.
    """

    rows: Tensor
    views: Tensor
    confidence: Tensor | None = None


@dataclass(frozen=True)
class Step:
    """One step's pairs: the random side and its partner, mixed by `coefficient`, λ, float32 (B,).

    Partner and coefficient are None for a recipe that does not mix.
    """

    random: Side
    partner: Side | None = None
    coefficient: Tensor | None = None


@dataclass(frozen=True)
class StepResult:
    """The loss to minimise; if labels are managed, the verdicts on the step's random instances and their labels.

    refined: the labels of the random instances before they are mixed, 0 or 1.
    """

    loss: Tensor
    verdict: Tensor | None = None
    refined: Tensor | None = None


@dataclass(frozen=True)
class EpochPass:
    """One pass over the whole training set after an epoch, on the given labels: float32 (N, K) each.

    By the images as stored, or the mean over two augmented views (see Recipe.passes_views). member_losses: those of
    each network by itself, float32 (M, N, K), where a recipe trains M of them; then the others are their average's.
    """

    losses_NK: Tensor
    confidence_NK: Tensor
    member_losses_MNK: Tensor | None = None


@dataclass
class Recipe:
    """What every recipe can be asked; as it stands, one that neither mixes nor manages labels.

    given_NK: the given labels, bool. image_ids and class_names serve error messages. own: this recipe's own settings,
    an instance of its `Settings`; None gives their defaults. true_NK: the true labels, bool, for a recipe that
    `needs_truth`, and for no other. present_NK: what the audit says of every label, P(truly present), float32, for a
    recipe that `uses_audit`; None if nothing was audited. reviewed_NK: labels that people looked at, bool: they are
    right, whatever a recipe makes of the others; None if there is none. single_label: every image has exactly one class
    (`model.task`), which a recipe has to allow by `takes_single_label`: what it does has a meaning there too.

    `members`: how many networks it trains. `mixes`: steps come in pairs. `pairs_with_itself`: an image's partner is the
    image, so that a step has two views of each. `needs_pass`: judge wants a pass over the training set, and so does
    end_epoch unless `wants_pass` says otherwise. `managing`: labels are refined in the coming epoch; False during
    warm-up.
    """

    given_NK: Tensor
    settings: MethodSettings = field(default_factory=MethodSettings)
    image_ids: list[str] | None = None
    class_names: list[str] | None = None
    own: Any = None
    true_NK: Tensor | None = None
    present_NK: Tensor | None = None
    reviewed_NK: Tensor | None = None
    single_label: bool = False

    Settings: ClassVar[type | None] = None
    members: ClassVar[int] = 1
    needs_truth: ClassVar[bool] = False
    uses_audit: ClassVar[bool] = False
    takes_single_label: ClassVar[bool] = False
    mixes = False
    pairs_with_itself = False
    needs_pass = False
    managing = False
    mixtures: LossMixtures | None = None

    def __post_init__(self) -> None:
        if self.own is None and self.Settings is not None:
            self.own = self.Settings()

    def plain_loss(self, logits_BK: Tensor, targets_BK: Tensor) -> Tensor:
        """The loss of labels that are believed, a scalar: eq. 1; softmax cross-entropy where an image has one class."""
        return (cross_entropy if self.single_label else balancemix_loss)(logits_BK, targets_BK)

    def trusting(self, p_clean_NK: Tensor) -> Tensor:
        """P(clean) of every label, (N, K), with 1 where people looked."""
        return p_clean_NK if self.reviewed_NK is None else p_clean_NK.masked_fill(self.reviewed_NK, 1)

    def partner_probability(self) -> Tensor | None:
        """p(x) of the partner of a pair, float64 (N,) summing to 1; None: uniform."""
        return None

    def coefficients(self, count: int, generator: torch.Generator) -> Tensor:
        """λ of each pair of an epoch, float32 (count,); eq. 5 unless a recipe draws it otherwise."""
        return mixing_coefficient(self.settings.alpha, count, generator)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Called before the first step of an epoch, which counts from 1."""

    def wants_pass(self, manage: bool) -> bool:
        """Whether end_epoch wants the pass after this epoch; `manage`: the next epoch comes after warm-up."""
        return self.needs_pass

    def passes_views(self, manage: bool) -> bool:
        """Whether the pass shows two augmented views, not the stored images; `manage`: labels are refined next."""
        return False

    def doubtful_rows(self) -> Tensor | None:
        """Which images need relabelling views, bool (N,); None: none does."""
        return None

    def step(self, classify: Classify, step: Step) -> StepResult:
        """The loss of one step."""
        raise NotImplementedError

    def partner_labels(self, partner: Side) -> Tensor:
        """The labels that a partner contributes to a mixed pair, float32 (B, K) in [0, 1]."""
        return self.given_NK[partner.rows].float()

    def end_epoch(self, epoch_pass: EpochPass, manage: bool) -> None:
        """Learn from the pass over the training set; `manage`: the next epoch comes after warm-up."""

    def judge(self, closing: EpochPass) -> None:
        """Judge every label by the closing pass, which the final weights made; then `ledger` is asked."""

    def ledger(self, confidence_NK: Tensor | None) -> Ledger:
        """The closing verdicts.

        confidence_NK: the mean of f_k over two views by the final weights, 0.5 in rows that are not doubtful; None if
        no row is.
        """
        ones = torch.ones_like(self.given_NK, dtype=torch.float32)
        clean = torch.zeros_like(self.given_NK, dtype=torch.uint8)
        return Ledger(self.given_NK, ones, self.given_NK.float(), clean, ones, managed=False)

    def log_odds(self, losses_M: Tensor, image_M: Tensor, class_M: Tensor) -> Tensor | None:
        """The log-odds of p_clean for M labels, float64 (M,), from their closing losses; None: p_clean tells them."""
        return None

    def told(self) -> list[str]:
        """What the line of an epoch says besides its loss."""
        return []

    def state(self) -> dict[str, Tensor]:
        """All that the next epoch needs and that cannot be derived."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`."""
