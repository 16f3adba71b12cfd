"""A backbone as the rest sees it: a module that maps images to features, and what a head must know of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Mean and standard deviation of red, green and blue, for pixel values in [0, 1]."""

IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Body:
    """A backbone without its last layers: normalised images (B, 3, H, W) to a map of features.

    channels: of that map. layout: turns the module's output into (B, C, H', W') if it has another form. classifiers:
    the names of the last layers in published weights, which the head replaces. maximum: heads pool by the maximum
    over all places, not by the mean.
    """

    network: nn.Module
    channels: int
    layout: nn.Module | None = None
    classifiers: tuple[str, ...] = ("fc",)
    maximum: bool = False
