"""Mixup of two random images with plain BCE (Table 5, second row)."""

from __future__ import annotations

from bmix.recipes.shared.pairs import MixedPairs


class Mixup(MixedPairs):
    """Plain BCE (eq. 1) on uniformly drawn pairs of images with their given labels."""
