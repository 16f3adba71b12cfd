"""What turns a backbone's features into one logit per class, and the scaling of features that need no backbone."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bmix.models.affinity import Affinity, diversity
from bmix.randomness import uniforms

SMALLEST_HIDDEN, LARGEST_HIDDEN = 64, 1024


@dataclass(frozen=True)
class HeadSettings:
    """Settings of a head; each head reads its own.

    queries: of decoder, 0: one per class. hidden: of mlp, the width of its hidden layer, 0: that of its input, within
    64 and 1024. norm: of mlp, `batch` or `none`, the norm of the hidden layer. dropout: of mlp, the share of the hidden
    layer that is dropped in training, in [0, 1). prototypes, sigma, diversity: of affinity, m, σ and the weight of the
    regulariser R; its hidden layer is mlp's where `hidden` is above 0.
    """

    queries: int = 0
    hidden: int = 0
    norm: str = "batch"
    dropout: float = 0.0
    prototypes: int = 5
    sigma: float = 10.0
    diversity: float = 1.0

    @classmethod
    def of(cls, holder: object) -> HeadSettings:
        """Those of anything that holds each of them as an attribute of the same name."""
        return cls(**{field.name: getattr(holder, field.name) for field in fields(cls)})


class KeyedDropout(nn.Module):
    """Dropout that draws from keys: each row's mask follows from its own key, whatever is drawn beside it.

    rate: in [0, 1). keys_B: uint64 (B,), set by the trainer before a step; needed in training mode while rate > 0.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.keys_B: np.ndarray | None = None

    def forward(self, features_BC: Tensor) -> Tensor:
        """Rows (B, C) to rows of which a share is 0 and the rest scaled up; in evaluation mode the rows themselves."""
        if not self.training or self.rate == 0:
            return features_BC
        if self.keys_B is None or len(self.keys_B) != len(features_BC):
            raise ValueError("dropout in training mode needs a key for each row: set keys_B")
        kept_BC = torch.from_numpy(uniforms(self.keys_B, features_BC.shape[1]) >= self.rate)
        return features_BC * kept_BC.to(features_BC, non_blocking=True) / (1 - self.rate)


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

    (B, C) or (B, C, H, W) float to logits (B, class_count). settings: what the hidden layer is like; its activation is
    ReLU.
    """

    class_tensors = ("linear.weight", "linear.bias")
    """The tensors whose shape depends on the number of classes."""

    def __init__(
        self,
        channels: int,
        class_count: int,
        hidden: bool = False,
        maximum: bool = False,
        settings: HeadSettings | None = None,
    ) -> None:
        super().__init__()
        self.maximum = maximum
        self.hidden, width = hidden_layer(channels, settings or HeadSettings()) if hidden else no_layer(channels)
        self.linear = nn.Linear(width, class_count)

    def forward(self, features_B: Tensor) -> Tensor:
        """Features (B, C) or (B, C, H, W) to logits (B, K)."""
        return self.linear(self.hidden(pooled(features_B, self.maximum)))


class AffinityHead(nn.Module):
    """Global pooling where there are places, a hidden layer where `settings.hidden` is above 0, then class prototypes.

    (B, C) or (B, C, H, W) float to log-odds (B, class_count), whose sigmoid is the affinity.
    """

    class_tensors = ("affinity.prototypes",)
    """The tensors whose shape depends on the number of classes."""

    def __init__(self, channels: int, class_count: int, settings: HeadSettings, maximum: bool = False) -> None:
        super().__init__()
        self.maximum, self.weight = maximum, settings.diversity
        self.hidden, width = hidden_layer(channels, settings) if settings.hidden else no_layer(channels)
        self.affinity = Affinity(width, class_count, settings.prototypes, settings.sigma)

    def forward(self, features_B: Tensor) -> Tensor:
        """Features (B, C) or (B, C, H, W) to log-odds (B, K)."""
        return self.affinity(self.hidden(pooled(features_B, self.maximum)))

    def penalty(self) -> Tensor:
        """What is added to the loss of every step, a scalar: R, weighted."""
        return self.weight * diversity(self.affinity.prototypes)


def pooled(features_B: Tensor, maximum: bool) -> Tensor:
    """A map of features (B, C, H, W) to (B, C), by the mean or the maximum over all places; (B, C) as it is."""
    if features_B.ndim == 2:
        return features_B
    return features_B.amax(dim=(2, 3)) if maximum else features_B.mean(dim=(2, 3))


def hidden_layer(channels: int, settings: HeadSettings) -> tuple[nn.Module, int]:
    """A hidden layer for rows (B, channels), and its width."""
    width = settings.hidden or min(LARGEST_HIDDEN, max(SMALLEST_HIDDEN, channels))
    normed = settings.norm == "batch"
    layers = [nn.Linear(channels, width, bias=not normed), *([RowNorm(width)] if normed else []), nn.ReLU()]
    return nn.Sequential(*layers, *([KeyedDropout(settings.dropout)] if settings.dropout else [])), width


def no_layer(channels: int) -> tuple[nn.Module, int]:
    """No hidden layer, and the width that rows (B, channels) keep."""
    return nn.Identity(), channels


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
