"""What a recipe is: the part of a training run that differs from method to method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bmix.method.ledger import Ledger
from bmix.method.mixture import LossMixtures
from bmix.method.settings import MethodSettings

Classify = Callable[[Tensor], Tensor]
"""Normalised images (B, 3, H, W) -> logits (B, K), in training mode."""


@dataclass(frozen=True)
class Step:
    """One step's images. The minority (second) side is None for a recipe that does not mix.

    rows: (B,) rows of the training set. views: normalised float32 (B, 3, H, W). confidence: the mean of f_k over the
    relabelling views, float32 (B, K); meaningful only in rows that the recipe called doubtful; None where none is.
    coefficient: λ, float32 (B,).
    """

    rows: Tensor
    views: Tensor
    confidence: Tensor | None = None
    minority_rows: Tensor | None = None
    minority_views: Tensor | None = None
    minority_confidence: Tensor | None = None
    coefficient: Tensor | None = None


@dataclass(frozen=True)
class StepResult:
    """The loss to minimise, and the verdicts on the step's random instances where labels are managed."""

    loss: Tensor
    verdict: Tensor | None = None


@dataclass(frozen=True)
class Audit:
    """A pass over the whole training set after an epoch, on the given labels: float32 (N, K) each.

    By the images as stored, or the mean over two augmented views (see Recipe.audits_views).
    """

    losses_NK: Tensor
    confidence_NK: Tensor


@dataclass
class Recipe:
    """What every recipe can be asked; as it stands, one that neither mixes nor manages labels.

    given_NK: the given labels, bool. image_ids and class_names serve error messages. `mixes`: steps come in pairs.
    `learns`: end_epoch wants an audit. `managing`: labels are refined in the coming epoch; False during warm-up.
    """

    given_NK: Tensor
    settings: MethodSettings = field(default_factory=MethodSettings)
    image_ids: list[str] | None = None
    class_names: list[str] | None = None

    mixes = False
    learns = False
    managing = False
    mixtures: LossMixtures | None = None

    def partner_probability(self) -> Tensor | None:
        """p(x) of the second image of a pair, float64 (N,) summing to 1; None: uniform."""
        return None

    def audits_views(self, manage: bool) -> bool:
        """Whether the audit shows two augmented views, not the stored images; `manage`: labels are refined next."""
        return False

    def doubtful_rows(self) -> Tensor | None:
        """Which images need relabelling views, bool (N,); None: none does."""
        return None

    def step(self, classify: Classify, step: Step) -> StepResult:
        """The loss of one step."""
        raise NotImplementedError

    def end_epoch(self, audit: Audit, manage: bool) -> None:
        """Learn from the pass over the training set; `manage`: the next epoch comes after warm-up."""

    def close(self, audit: Audit | None, confidence: Callable[[Tensor], Tensor] | None) -> Ledger:
        """The closing verdicts.

        audit: by the final weights; None where the recipe does not learn. `confidence(rows)`: the mean over two views
        by the final weights, (B, K); None where the audit shows views already, and where there is no audit.
        """
        ones = torch.ones_like(self.given_NK, dtype=torch.float32)
        clean = torch.zeros_like(self.given_NK, dtype=torch.uint8)
        return Ledger(self.given_NK, ones, self.given_NK.float(), clean, ones, managed=False)

    def state(self) -> dict[str, Tensor]:
        """All that the next epoch needs and that cannot be derived."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`."""
