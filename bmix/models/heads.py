"""What turns a backbone's features into one logit per class, and the scaling of features that need no backbone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SMALLEST_HIDDEN, LARGEST_HIDDEN = 64, 1024


class RowNorm(nn.BatchNorm1d):
    """Batch norm of rows (B, C) that takes a batch of one, such as an epoch's last, by its running statistics."""

    def forward(self, features_BC: Tensor) -> Tensor:
        """Rows (B, C) to normalised rows (B, C)."""
        if not self.training or len(features_BC) > 1:
            return super().forward(features_BC)
        return functional.batch_norm(
            features_BC, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class PooledHead(nn.Module):
    """Global pooling where there are places, then one linear layer, with one hidden layer before it where asked for.

    (B, C) or (B, C, H, W) float to logits (B, class_count). The hidden layer is as wide as its input, within 64 and
    1024, with batch norm and ReLU. It has no dropout: that would draw from torch's global generator at every step, and
    a run resumed from a checkpoint would differ from one that was never stopped.
    """

    class_tensors = ("linear.weight", "linear.bias")
    """The tensors whose shape depends on the number of classes."""

    def __init__(self, channels: int, class_count: int, hidden: bool = False, maximum: bool = False) -> None:
        super().__init__()
        self.maximum = maximum
        self.hidden: nn.Module = nn.Identity()
        if hidden:
            width = min(LARGEST_HIDDEN, max(SMALLEST_HIDDEN, channels))
            self.hidden = nn.Sequential(nn.Linear(channels, width, bias=False), RowNorm(width), nn.ReLU())
            channels = width
        self.linear = nn.Linear(channels, class_count)

    def forward(self, features_B: Tensor) -> Tensor:
        """Features (B, C) or (B, C, H, W) to logits (B, K)."""
        if features_B.ndim == 4:
            features_B = features_B.amax(dim=(2, 3)) if self.maximum else features_B.mean(dim=(2, 3))
        return self.linear(self.hidden(features_B))


class Standardise(nn.Module):
    """Features (B, D) with the training data's mean taken off, divided by its standard deviation.

    New: mean 0 and deviation 1, which change nothing. Both are buffers: saved with the weights, never trained.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, feature_count: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(feature_count))
        self.register_buffer("deviation", torch.ones(feature_count))

    def fit(self, mean_D: Tensor, deviation_D: Tensor) -> None:
        """Take over the training data's mean and standard deviation, (D,) finite; a deviation of 0 counts as 1."""
        self.mean.copy_(mean_D)
        self.deviation.copy_(torch.where(deviation_D == 0, 1, deviation_D))

    def forward(self, features_BD: Tensor) -> Tensor:
        """Features (B, D) to standardised features (B, D)."""
        return (features_BD - self.mean) / self.deviation
