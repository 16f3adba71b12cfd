"""Balanced-MixUp (Galdran et al., MICCAI 2021, arXiv 2109.09850) in a multi-label form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bmix.method.mixing import draw_beta
from bmix.method.settings import LARGEST_ALPHA
from bmix.recipes.shared.pairs import MixedPairs
from bmix.recipes.shared.settings import setting


@dataclass(frozen=True)
class BalancedMixupSettings:
    """α of its own, since λ is drawn otherwise than in the other recipes."""

    alpha: float = setting(
        4.0,
        "α of λ ~ Beta(α, 1), the part of the random image, α / (α + 1) on average",
        low=0,
        high=LARGEST_ALPHA,
        open_low=True,
    )


class BalancedMixup(MixedPairs):
    """The plain loss of pairs, the partner from a class-balanced sampler; λ ~ Beta(α, 1) without eq. 5's maximum.

    Multi-label form, ours: the sampler draws a class uniformly among those with a given positive, then one of its
    images uniformly. λ is the part of the random image: with α above 1 it has the larger one on average, which keeps
    the few images of rare classes from being learnt by heart. The default has α as in the other recipes that mix.
    """

    Settings = BalancedMixupSettings
    takes_single_label = True

    @cached_property
    def _class_balanced(self) -> Tensor | None:
        return class_balanced_probability(self.given_NK) if bool(self.given_NK.any()) else None

    def partner_probability(self) -> Tensor | None:
        """Of the class-balanced sampler; None, uniform, if no image has a given positive."""
        return self._class_balanced

    def coefficients(self, count: int, generator: torch.Generator) -> Tensor:
        """λ ~ Beta(α, 1), float32 (count,) in [0, 1]."""
        return draw_beta(self.own.alpha, 1.0, count, generator).float()


def class_balanced_probability(given_NK: Tensor) -> Tensor:
    """p(x) = mean over the classes k with a positive of [x shows k] / N_k: draw a class, then one of its images.

    Takes given labels (N, K), bool or 0/1, at least one of them 1; returns float64 (N,) that sums to 1. An image
    without a positive is never drawn.
    """
    given_NK = given_NK.double()
    count_K = given_NK.sum(dim=0)
    of_class_NK = given_NK / count_K.clamp(min=1)
    return of_class_NK.sum(dim=1) / (count_K > 0).sum()
