"""A backbone with a head, and features with a head."""

from __future__ import annotations

from torch import Tensor, nn

from bmix.models.heads import PooledHead, Standardise


class ImageNetwork(nn.Module):
    """Normalised images (B, 3, H, W) float to logits (B, K): a backbone's feature map (B, C, H', W'), then a head.

    `classifiers` names the backbone's own last layer in published weights, which the head replaces.
    """

    def __init__(self, backbone: nn.Module, head: PooledHead, classifiers: tuple[str, ...] = ("fc",)) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.classifiers = classifiers

    def forward(self, images_B: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to logits (B, K)."""
        return self.head(self.backbone(images_B))


class FeatureNetwork(nn.Module):
    """Features (B, D) float to logits (B, K): standardised by the training data's mean and deviation, then a head."""

    classifiers: tuple[str, ...] = ()

    def __init__(self, standardise: Standardise, head: PooledHead) -> None:
        super().__init__()
        self.standardise = standardise
        self.head = head

    def forward(self, features_BD: Tensor) -> Tensor:
        """Features (B, D) to logits (B, K)."""
        return self.head(self.standardise(features_BD))
