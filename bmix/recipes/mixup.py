"""Mixup of two random images (Table 5, second row)."""

from __future__ import annotations

from bmix.recipes.shared.pairs import MixedPairs


class Mixup(MixedPairs):
    """The plain loss, BCE (eq. 1) or cross-entropy, of uniformly drawn pairs of images with their given labels."""

    takes_single_label = True
