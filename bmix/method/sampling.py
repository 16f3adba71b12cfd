"""Eq. 2-4: which images the minority sampler draws, from how sure the model is of their given labels."""

from __future__ import annotations

import torch
from torch import Tensor

from bmix.errors import InputError

_UNKNOWN = 0.5
_LEAST_SCORE = 1e-12
_LABELS_AT_ONCE = 2**20


def class_confidence(confidence_NK: Tensor, given_NK: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. 2: P(k), the mean confidence that a given label is present, and A(k), that a label not given is absent.

    Takes f_k(x) (N, K) float in [0, 1] and the given labels (N, K), bool or 0/1; returns presence P and absence A, each
    (K,) float64 in [0, 1]. A class without a label of that value gets 0.5, the confidence of a model that knows
    nothing; eq. 3 uses it for none of these N instances.
    """
    number_of_images, number_of_classes = confidence_NK.shape
    sums = torch.zeros(3, number_of_classes, dtype=torch.float64, device=confidence_NK.device)
    rows = max(1, _LABELS_AT_ONCE // max(1, number_of_classes))
    for confidence, given in zip(confidence_NK.split(rows), given_NK.bool().split(rows), strict=True):
        sums[0] += torch.where(given, confidence, 0).sum(dim=0, dtype=torch.float64)
        sums[1] += torch.where(given, 0, 1 - confidence).sum(dim=0, dtype=torch.float64)
        sums[2] += given.sum(dim=0)
    positives, negatives = sums[2], number_of_images - sums[2]
    presence = torch.where(positives > 0, sums[0] / positives, _UNKNOWN)
    absence = torch.where(negatives > 0, sums[1] / negatives, _UNKNOWN)
    return presence, absence


def instance_scores(given_NK: Tensor, presence_K: Tensor, absence_K: Tensor) -> Tensor:
    """Eq. 3: Score(x, ỹ) = Σ_k P(k) where ỹ_k = 1, A(k) where ỹ_k = 0.

    Takes the given labels (N, K), bool or 0/1, and the two results of `class_confidence`; returns (N,) float64 in
    [0, K].
    """
    rows = max(1, _LABELS_AT_ONCE // max(1, given_NK.shape[1]))
    return torch.cat([torch.where(given, presence_K, absence_K).sum(dim=1) for given in given_NK.bool().split(rows)])


def sampling_probability(scores_N: Tensor, sharpness: float = 1.0) -> Tensor:
    """Eq. 4 and its family: p(x) ∝ Score(x)^(-sharpness), which is eq. 4 at 1 and uniform at 0.

    Takes scores (N,), finite and not negative; returns (N,) float64 that sums to 1. Scores below 1e-12 count as 1e-12:
    an instance of which the model believes nothing is drawn often, but not with a probability of NaN. Scores that are
    negative, NaN or infinite raise InputError.
    """
    unusable = ~((scores_N >= 0) & (scores_N < torch.inf))
    if bool(unusable.any()):
        index = int(unusable.nonzero()[0])
        raise InputError(
            f"score of the instance at index {index}",
            str(scores_N[index].item()),
            "a finite number, 0 or more",
            "look whether the model's confidences hold numbers that are not finite",
        )
    return torch.softmax(-sharpness * scores_N.double().clamp(min=_LEAST_SCORE).log(), dim=0)


def draw(probability_N: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Draw `size` instances with replacement, each independently from `probability_N`.

    Takes (N,) of any positive sum and any N; returns (size,) int64 on its device. The numbers are drawn and looked up
    on the generator's device, so that a CPU generator gives the same indices whatever the device. An instance of
    probability 0 is never drawn. A probability that is negative or not finite, and a sum of 0, raise InputError.
    """
    probability = probability_N.to(generator.device, torch.float64)
    cumulative = probability.cumsum(dim=0)
    if not len(probability) or bool((probability < 0).any()) or not 0 < float(cumulative[-1]) < float("inf"):
        raise InputError(
            "sampling probabilities",
            f"{len(probability)} of them, sum {float(probability.sum())}, {int((probability < 0).sum())} negative",
            "at least one, none negative, with a finite sum above 0",
            "pass what sampling_probability returns",
        )
    uniform = torch.rand(size, dtype=torch.float64, device=generator.device, generator=generator)
    index = torch.searchsorted(cumulative, uniform * cumulative[-1], right=True)
    last = probability.nonzero()[-1, 0]
    return index.clamp(max=last).to(probability_N.device)
