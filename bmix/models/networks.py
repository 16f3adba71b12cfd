"""A backbone with a head, and features with a head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bmix.models.heads import AffinityHead, PooledHead, Standardise
from bmix.models.query_decoder import QueryDecoder


class ImageNetwork(nn.Module):
    """Normalised images (B, 3, H, W) float to logits (B, K): a backbone, then a head on its map of features.

    `layout` makes the map (B, C, H', W') of what the backbone gives, where that is of another form. `classifiers` names
    the backbone's own last layers in published weights, which the head replaces.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: PooledHead | AffinityHead | QueryDecoder,
        classifiers: tuple[str, ...] = ("fc",),
        layout: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.layout = layout or nn.Identity()
        self.head = head
        self.classifiers = classifiers

    def feature_map(self, images_B: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to the backbone's features (B, C, H', W')."""
        # Convolutions are faster with the channels last: on a CPU by up to 60 %, on a GPU in half precision.
        return self.layout(self.backbone(images_B.contiguous(memory_format=torch.channels_last)))

    def forward(self, images_B: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to logits (B, K)."""
        return self.head(self.feature_map(images_B))


class FeatureNetwork(nn.Module):
    """Features (B, D) float to logits (B, K): standardised by the training data's mean and deviation, then a head."""

    classifiers: tuple[str, ...] = ()

    def __init__(self, standardise: Standardise, head: PooledHead | AffinityHead) -> None:
        super().__init__()
        self.standardise = standardise
        self.head = head

    def forward(self, features_BD: Tensor) -> Tensor:
        """Features (B, D) to logits (B, K)."""
        return self.head(self.standardise(features_BD))
