"""The minority sampler (eq. 2-4) as a sampler of torch's DataLoader."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

from bmix.method.objective import confidence
from bmix.method.sampling import RareLabels, class_confidence, draw, instance_scores, sampling_probability


class MinoritySampler(Sampler[int]):
    """Draws rows of the training set with replacement, those with badly learnt labels more often; N of them an epoch.

    given_NK: the given labels, bool or 0/1. generator: a CPU generator; each epoch draws on from it. sharpness: p(x) ∝
    Score^-sharpness; 1 is eq. 4, 0 uniform. Uniform until the first `update`.

    `probability`: p(x), float64 (N,). To resume a run, call `update` again with the logits of the loaded weights.
    Raises InputError for given labels other than 0 and 1 or not (N, K); `update` for another shape, and for logits that
    are not finite.
    """

    def __init__(self, given_NK: Tensor, generator: torch.Generator, sharpness: float = 1.0) -> None:
        self._rare_labels = RareLabels.of(given_NK)
        self._generator = generator
        self._sharpness = sharpness
        images = len(given_NK)
        self.probability = sampling_probability(torch.ones(images, dtype=torch.float64), sharpness)

    def update(self, logits_NK: Tensor) -> None:
        """Eq. 2-4 by the model's logits (N, K) of every row, in order: eval mode, no random augmentation."""
        confidence_NK = confidence(logits_NK.detach())
        presence_K, absence_K = class_confidence(confidence_NK, self._rare_labels)
        scores_N = instance_scores(self._rare_labels, presence_K, absence_K)
        self.probability = sampling_probability(scores_N, self._sharpness)

    def __len__(self) -> int:
        return len(self.probability)

    def __iter__(self) -> Iterator[int]:
        return iter(draw(self.probability, len(self), self._generator).tolist())
