"""Label-wise management (eq. 6-9) of a training set, between the epochs and in the steps of any loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bmix.method.mixture import LossMixtures, fit_loss_mixtures
from bmix.method.objective import confidence, label_losses
from bmix.method.refine import refine_labels


class ManagedLabels:
    """The given labels of a training set, (N, K) bool or 0/1, and what the model's losses say of each of them.

    Until the first `update`, which ends the warm-up, every label counts as given. epsilon, trust_positives: as
    `refine_labels` takes them.

    `p_clean`: P(given value is right) by the last update, float32 (N, K); ones before. `mixtures`: eq. 6-7, None
    before. To resume a run, call `update` again with the logits of the loaded weights.
    """

    mixtures: LossMixtures | None = None

    def __init__(self, given_NK: Tensor, epsilon: float = 0.975, trust_positives: bool = False) -> None:
        self.given = given_NK
        self.p_clean = torch.ones(given_NK.shape, device=given_NK.device)
        self._epsilon, self._trust_positives = epsilon, trust_positives

    @property
    def doubtful(self) -> Tensor:
        """Which labels eq. 9 asks the model about: not clean, and not a trusted positive; bool (N, K)."""
        doubtful_NK = self.p_clean <= 0.5
        return doubtful_NK & ~self.given.bool() if self._trust_positives else doubtful_NK

    def update(self, logits_NK: Tensor) -> None:
        """Eq. 6-8 by the model's logits (N, K) of every row, in order: eval mode, no random augmentation.

        Raises InputError for logits that are not finite, another shape, and given labels other than 0 and 1.
        """
        losses_NK = label_losses(logits_NK.detach(), self.given)
        self.mixtures = fit_loss_mixtures(losses_NK, self.given)
        self.p_clean = self.mixtures.clean_probability(losses_NK, self.given)

    def refine(
        self, rows_B: Tensor, network: Callable[[Tensor], Tensor], views: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Eq. 9: refined labels, verdicts and weights, (B, K) each, as `refine_labels` returns them.

        rows_B: int64 rows of the training set. views: two independently augmented views of these images, each (B, ...).
        The network (images -> logits) is asked about images with a doubtful label alone, without gradients; a module is
        put into eval mode for that, and back. Results lie on the device of the given labels.
        """
        rows_B = rows_B.to(self.given.device)
        p_clean_BK = self.p_clean[rows_B]
        # 0.5 re-labels nothing.
        confidence_BK = torch.full_like(p_clean_BK, 0.5)
        doubtful_B = self.doubtful[rows_B].any(dim=1)
        if doubtful_B.any():
            confidence_BK[doubtful_B] = _mean_confidence(network, [view[doubtful_B.to(view.device)] for view in views])
        return refine_labels(
            self.given[rows_B], p_clean_BK, confidence_BK, self._epsilon, trust_positives=self._trust_positives
        )


@torch.no_grad()
def _mean_confidence(network: Callable[[Tensor], Tensor], views: Sequence[Tensor]) -> Tensor:
    with _evaluating(network):
        return torch.stack([confidence(network(view)) for view in views]).mean(dim=0)


@contextmanager
def _evaluating(network: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """A module and what is in it in eval mode; afterwards each part in the mode that it was in."""
    parts = list(network.modules()) if isinstance(network, nn.Module) else []
    modes = [part.training for part in parts]
    try:
        for part in parts:
            part.training = False
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode
