"""Eq. 1, 6 and 10: binary cross-entropy from logits, per label and weighted."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bmix.method.checks import check_shape
from bmix.support.errors import InputError


def confidence(logits: Tensor) -> Tensor:
    """f_k(x) = sigmoid(logit_k), the confidence that class k is present: the shape of the logits, in [0, 1]."""
    return torch.sigmoid(_at_least_float32(logits))


def label_losses(logits: Tensor, given: Tensor) -> Tensor:
    """Eq. 6: the binary cross-entropy of every label, from its logit.

    Takes logits and labels of one shape (B, K), labels bool, 0/1 or soft in [0, 1]; returns (B, K), 0 or more, accurate
    for logits of any size. Half precision is widened to float32 first, under autocast too. Shapes that differ raise
    InputError.
    """
    check_shape("labels", given.shape, "logits", logits.shape)
    logits = _at_least_float32(logits)
    return binary_cross_entropy_with_logits(logits, given.to(logits), reduction="none")


def balancemix_loss(logits: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
    """Eq. 10: Σ_k w_k · BCE(f_k(x), y_k), summed over the classes and averaged over the batch.

    Takes logits (B, K), targets (B, K) in [0, 1] and weights (B, K) in [0, 1]; returns a scalar, at least float32.
    Without weights it is eq. 1, the plain loss. Raises InputError for shapes that differ or are not (B, K), and for an
    empty batch, which has no mean.
    """
    if logits.ndim != 2 or not len(logits):
        found, expected = f"shape {tuple(logits.shape)}", "(instances, classes), of one instance or more"
        raise InputError("logits", found, expected, "leave empty batches out")
    losses = label_losses(logits, targets)
    if weight is not None:
        check_shape("weight", weight.shape, "logits", logits.shape)
        losses = losses * weight.to(losses)
    return losses.sum(dim=1).mean()


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
