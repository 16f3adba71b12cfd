"""Eq. 6-8: two-component Gaussian mixtures of the losses of every class and given value, and what they call clean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from bmix.method.loss_histogram import LossHistogram, check_losses, one_thread
from bmix.method.mixture_fit import ADDED_VARIANCE, likeliest_mixtures
from bmix.support.errors import InputError

MINIMUM_COUNT = 10
_LABELS_AT_ONCE = 2**16


@dataclass(frozen=True)
class LossMixtures:
    """The 2K mixtures of one epoch.

    `means`, `variances`, `weights` are (2, K, 2) float64, indexed [given value, class, component]; component 0 has the
    smaller mean. `degenerate` (2, K) bool marks the pairs for which no mixture could be fitted; all their labels count
    as clean. `counts` (2, K) int64 are the labels behind each mixture. All tensors share one device.
    """

    means: Tensor
    variances: Tensor
    weights: Tensor
    degenerate: Tensor
    counts: Tensor

    @one_thread()
    @torch.no_grad()
    def clean_probability(self, losses_NK: Tensor, given_NK: Tensor) -> Tensor:
        """p_G of eq. 8: the posterior of the component with the smaller mean at each label's loss.

        Takes losses (N, K) float and given labels (N, K), bool or 0/1; returns (N, K) float32 in [0, 1], and 1 for
        every label whose mixture is degenerate. Computed from log-densities, so that it holds far out in the tails. It
        is eq. 8 as printed, and so not monotone in the loss: where component 0 is the narrower one, a loss far BELOW
        its mean is again more likely under the wide component 1. No gradients flow.

        Raises InputError for losses that are negative or not finite, given labels other than 0 and 1, and shapes that
        are not one (N, K) with the mixtures' K.
        """
        check_losses(losses_NK, given_NK, None, None)
        classes = self.degenerate.shape[1]
        if losses_NK.shape[1] != classes:
            found, expected = f"{losses_NK.shape[1]} classes", f"{classes} classes, as the mixtures have"
            raise InputError("losses", found, expected, "pass the losses of every class")
        curve_2K = self._log_odds()
        p_clean_NK = torch.empty(losses_NK.shape, dtype=torch.float32, device=losses_NK.device)
        images = max(1, _LABELS_AT_ONCE // max(1, losses_NK.shape[1]))
        parts = zip(p_clean_NK.split(images), losses_NK.split(images), given_NK.split(images), strict=True)
        for p_clean, losses, given in parts:
            centre, constant, slope, square = (each[0] for each in curve_2K)
            x = losses.to(torch.float64, copy=True).sub_(centre)
            p_clean.copy_(torch.addcmul(slope, x, square).mul_(x).add_(constant)).sigmoid_()
            # Given positives are few: all are computed as negatives first, then these once more.
            label, of_class = given.nonzero().unbind(1)
            centre, constant, slope, square = (each[1, of_class] for each in curve_2K)
            x = losses[label, of_class] - centre
            p_clean[label, of_class] = torch.sigmoid((square * x + slope) * x + constant).float()
        return p_clean_NK

    @one_thread()
    @torch.no_grad()
    def clean_log_odds(self, losses: Tensor, given: Tensor, of_class: Tensor | None = None) -> Tensor:
        """The log-odds of `clean_probability`, float64, never saturated: to rank by; +inf of a degenerate mixture.

        losses: float (N, K), or (M,) of single labels. given: bool or 0/1, of the same shape. of_class: the class of
        each label, int64 (M,); None of (N, K).
        """
        column = torch.arange(self.degenerate.shape[1], device=given.device) if of_class is None else of_class
        centre, constant, slope, square = (each[given.long(), column] for each in self._log_odds())
        x = losses.to(torch.float64) - centre
        return (square * x + slope) * x + constant

    def _log_odds(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The log-odds of component 0 as a parabola about its mean: mean_0, constant, slope and square, each (2, K)."""
        (mean_0, mean_1), (variance_0, variance_1) = self.means.unbind(-1), self.variances.unbind(-1)
        weight_0, weight_1 = self.weights.unbind(-1)
        apart = mean_0 - mean_1
        constant = weight_0.log() - weight_1.log() + 0.5 * (variance_1.log() - variance_0.log() + apart**2 / variance_1)
        parabola = (
            mean_0,
            torch.where(self.degenerate, torch.inf, constant),
            apart / variance_1,
            0.5 / variance_1 - 0.5 / variance_0,
        )
        return parabola

    def to(self, device: torch.device | str) -> LossMixtures:
        """The same mixtures on another device."""
        return LossMixtures(**{name: tensor.to(device) for name, tensor in self.state().items()})

    def state(self) -> dict[str, Tensor]:
        """All that `from_state` needs, as tensors."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> LossMixtures:
        """The mixtures that `state` described; KeyError if a tensor is missing."""
        return cls(**{field.name: state[field.name] for field in fields(cls)})


def fit_loss_mixtures(
    losses_NK: Tensor,
    given_NK: Tensor,
    *,
    image_ids: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
) -> LossMixtures:
    """Fit the 2K mixtures of eq. 6-7 to losses that lie in memory: `fit_histogram` of one batch.

    Takes the BCE losses (N, K), finite and not negative, and the given labels (N, K), bool or 0/1, on any one device;
    the result lies there. No gradients flow.

    Raises InputError for NaN, infinite or negative losses, naming class and image by `class_names` and `image_ids`, or
    by index where these are not given; for given labels other than 0 and 1, and for shapes that differ.
    """
    histogram = LossHistogram(losses_NK.shape[-1], losses_NK.device)
    histogram.add(losses_NK, given_NK, image_ids=image_ids, class_names=class_names)
    return fit_histogram(histogram)


@one_thread()
def fit_histogram(histogram: LossHistogram) -> LossMixtures:
    """Fit the 2K mixtures of eq. 6-7 to the losses in a histogram, by one batched EM, until each has converged.

    EM runs on the CPU; the result lies on the histogram's device.

    Each mixture is the likeliest of those from exact two-means splits of its losses, of their logarithms and, below
    1024 labels, of their squares. It is a local optimum: of few labels, or very skewed losses, there may be a likelier
    one, which scikit-learn's single start seldom finds. To every variance 1e-6 is added, as in scikit-learn. Permuting
    images, or splitting them into other batches, changes no bit of the result; permuting classes permutes it.

    Degenerate are pairs of fewer than 10 labels, or whose losses have a variance below 1e-6 (all equal, for one): no
    two components can be told apart there. Both their means are the mean loss (0 without labels), their weights (1, 0).
    """
    groups = histogram.groups()
    total = groups.count.sum(dim=1)
    mean = (groups.count * groups.mean).sum(dim=1) / total.clamp(min=1)
    deviations = (groups.mean - mean[:, None]) ** 2 + groups.variance
    variance = (groups.count * deviations).sum(dim=1) / total.clamp(min=1)

    degenerate = (total < MINIMUM_COUNT) | (variance < ADDED_VARIANCE)
    means = mean[:, None].repeat(1, 2)
    variances = variance.clamp(min=ADDED_VARIANCE)[:, None].repeat(1, 2)
    weights = torch.tensor([1.0, 0.0], dtype=torch.float64).repeat(len(mean), 1)
    fitted = (~degenerate).nonzero().squeeze(1)
    if len(fitted):
        means[fitted], variances[fitted], weights[fitted] = likeliest_mixtures(groups.rows(fitted))
    by_mean = means.argsort(dim=1, stable=True)
    means, variances, weights = (each.gather(1, by_mean).unflatten(0, (2, -1)) for each in (means, variances, weights))
    counts = total.long().unflatten(0, (2, -1))
    return LossMixtures(means, variances, weights, degenerate.unflatten(0, (2, -1)), counts).to(histogram.device)
