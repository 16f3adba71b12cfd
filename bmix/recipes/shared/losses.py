"""Losses of a label from its logit, one for a label that is 1 and one for a label that is 0; mixed labels weight both.

Mixup makes labels soft. As BCE is linear in its label, its loss at a soft label y is y times the loss of a 1 plus 1 - y
times the loss of a 0; the losses here that are no BCE are extended to soft labels in the same way.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def weigh_both(positive_BK: Tensor, negative_BK: Tensor, present_BK: Tensor, absent_BK: Tensor) -> Tensor:
    """Σ_k present · positive + absent · negative, averaged over the batch: a scalar.

    positive, negative: what each label's loss is if it is 1 and if it is 0; present, absent: how much either counts, 0
    or more, and y and 1 - y of a soft label y that counts in full. All (B, K) float.
    """
    return (present_BK * positive_BK + absent_BK * negative_BK).sum(dim=1).mean()


def focal_positive(logits: Tensor, gamma: float) -> Tensor:
    """-(1 - p)^γ log p with p = sigmoid(logit), of any shape; γ 0 or more (Lin et al. 2017, eq. 4).

    Computed from logarithms, so that value and gradient are finite for logits of any size.
    """
    return -(gamma * logsigmoid(-logits)).exp() * logsigmoid(logits)


def focal_negative(logits: Tensor, gamma: float) -> Tensor:
    """-p^γ log(1 - p): the same of a label that is 0."""
    return focal_positive(-logits, gamma)


def bce_positive(logits: Tensor) -> Tensor:
    """-log p, of any shape and finite for logits of any size."""
    return -logsigmoid(logits)


def bce_negative(logits: Tensor) -> Tensor:
    """-log(1 - p)."""
    return -logsigmoid(-logits)


def cross_entropy(logits_BK: Tensor, targets_BK: Tensor) -> Tensor:
    """-Σ_k y_k log softmax(logits)_k, averaged over the batch: a scalar.

    Takes logits (B, K) and targets (B, K) in [0, 1] whose rows sum to 1, mixed ones included.
    """
    return -(targets_BK.to(logits_BK) * logits_BK.log_softmax(dim=1)).sum(dim=1).mean()
