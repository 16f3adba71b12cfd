"""Eq. 6-8: two-component Gaussian mixtures of the losses of every class and given value, and what they call clean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import softplus

from bmix.errors import InputError
from bmix.method.loss_histogram import LossGroups, group_losses

MINIMUM_COUNT = 10
MINIMUM_VARIANCE = 1e-6
_MAX_ITERATIONS = 5000
_TOLERANCE = 1e-7
_CHECK_EVERY = 8
# Below this many labels the likelihood has so many optima that two starts miss ones that scikit-learn finds.
_FEW = 256
_LABELS_AT_ONCE = 2**20

Fit = tuple[Tensor, ...]


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

    def clean_probability(self, losses_NK: Tensor, given_NK: Tensor) -> Tensor:
        """p_G of eq. 8: the posterior of the component with the smaller mean at each label's loss.

        Takes losses (N, K) float and given labels (N, K), bool or 0/1; returns (N, K) float32 in [0, 1], and 1 for
        every label whose mixture is degenerate. Computed from log-densities, so that it holds far out in the tails. It
        is eq. 8 as printed, and so not monotone in the loss: where component 0 is the narrower one, a loss far BELOW
        its mean is again more likely under the wide component 1. Losses that are negative or not finite raise
        InputError.
        """
        _check_losses(losses_NK, given_NK, None, None)
        variance_0, variance_1 = self.variances.unbind(-1)
        log_weights = self.weights.log()
        # log-odds of component 0: constant - (x - mean_0)² / (2 variance_0) + (x - mean_1)² / (2 variance_1)
        constant = log_weights[..., 0] - log_weights[..., 1] + 0.5 * (variance_1.log() - variance_0.log())
        constant = torch.where(self.degenerate, torch.inf, constant)
        parameters = (constant, self.means[..., 0], 0.5 / variance_0, self.means[..., 1], 0.5 / variance_1)

        result = torch.empty(losses_NK.shape, dtype=torch.float32, device=losses_NK.device)
        rows = max(1, _LABELS_AT_ONCE // max(1, losses_NK.shape[1]))
        for part, losses, given in zip(
            result.split(rows), losses_NK.split(rows), given_NK.bool().split(rows), strict=True
        ):
            at, mean_0, scale_0, mean_1, scale_1 = (torch.where(given, each[1], each[0]) for each in parameters)
            part.copy_(torch.sigmoid(at - (losses - mean_0) ** 2 * scale_0 + (losses - mean_1) ** 2 * scale_1))
        return result

    def to(self, device: torch.device | str) -> LossMixtures:
        """The same mixtures on another device."""
        return LossMixtures(**{name: tensor.to(device) for name, tensor in self.state().items()})

    def state(self) -> dict[str, Tensor]:
        """All that `from_state` needs, as tensors."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> LossMixtures:
        """The mixtures that `state` described; KeyError where a tensor is missing."""
        return cls(**{field.name: state[field.name] for field in fields(cls)})


def fit_loss_mixtures(
    losses_NK: Tensor,
    given_NK: Tensor,
    *,
    image_ids: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
) -> LossMixtures:
    """Fit the 2K mixtures of eq. 6-7 by one batched EM, run until each has converged.

    Takes the BCE losses (N, K), finite and not negative, and the given labels (N, K), bool or 0/1, on any one device;
    the result lies there. Each mixture is the likeliest of those from exact two-means splits of its losses, of their
    logarithms and, below 256 labels, of their squares. No variance falls below 1e-6 (scikit-learn adds that much
    instead). Permuting images changes no bit of the result, permuting classes permutes it.

    Degenerate are pairs of fewer than 10 labels, or whose losses have a variance below 1e-6 (all equal, for one): no
    two components can be told apart there. Both their means are the mean loss (0 without labels), their weights (1, 0).

    Raises InputError for NaN, infinite or negative losses, naming class and image by `class_names` and `image_ids`, or
    by index where these are not given.
    """
    _check_losses(losses_NK, given_NK, image_ids, class_names)
    groups = group_losses(losses_NK.float(), given_NK.bool())
    total = groups.count.sum(dim=1)
    mean = (groups.count * groups.mean).sum(dim=1) / total.clamp(min=1)
    deviations = (groups.mean - mean[:, None]) ** 2 + groups.variance
    variance = (groups.count * deviations).sum(dim=1) / total.clamp(min=1)

    degenerate = (total < MINIMUM_COUNT) | (variance < MINIMUM_VARIANCE)
    means = mean[:, None].repeat(1, 2)
    variances = variance.clamp(min=MINIMUM_VARIANCE)[:, None].repeat(1, 2)
    weights = torch.tensor([1.0, 0.0], dtype=torch.float64, device=mean.device).repeat(len(mean), 1)
    fitted = (~degenerate).nonzero().squeeze(1)
    if len(fitted):
        means[fitted], variances[fitted], weights[fitted], _ = _best_fit(groups.rows(fitted))
    by_mean = means.argsort(dim=1, stable=True)
    means, variances, weights = (each.gather(1, by_mean).unflatten(0, (2, -1)) for each in (means, variances, weights))
    return LossMixtures(means, variances, weights, degenerate.unflatten(0, (2, -1)), total.long().unflatten(0, (2, -1)))


def _best_fit(groups: LossGroups) -> Fit:
    """Means, variances, weights and log-likelihood of the likeliest fit of every row, among those from two starts.

    Rows of few labels have more optima, and a third start.
    """
    fit: Fit = _maximise_likelihood(groups, _two_means(groups, groups.mean))
    fit = _likelier(fit, _maximise_likelihood(groups, _two_means(groups, groups.log_mean)))
    few = (groups.count.sum(dim=1) < _FEW).nonzero().squeeze(1)
    if len(few):
        small = groups.rows(few)
        third = _maximise_likelihood(small, _two_means(small, small.mean**2))
        for each, chosen in zip(fit, _likelier(tuple(each[few] for each in fit), third), strict=True):
            each[few] = chosen
    return fit


def _likelier(one: Fit, other: Fit) -> Fit:
    better = other[3] > one[3] + 10 * _TOLERANCE
    chosen = (torch.where(better[:, None] if a.ndim == 2 else better, b, a) for a, b in zip(one, other, strict=True))
    return tuple(chosen)


def _maximise_likelihood(groups: LossGroups, posterior_0: Tensor) -> Fit:
    """EM for every row of groups, from its posteriors: means, variances, weights (rows, 2), log-likelihood (rows,).

    A row stops once what is left to gain in mean log-likelihood, extrapolated from its last two gains over eight
    iterations (Aitken), is below 1e-7 nats.
    """
    share = groups.count / groups.count.sum(dim=1, keepdim=True)
    centre = (share * groups.mean).sum(dim=1, keepdim=True)
    x = groups.mean - centre
    xx = x**2 + groups.variance
    total = torch.stack([share, share * x, share * xx]).sum(dim=2)
    likelihood, gain = (torch.full_like(total[0], value) for value in (-torch.inf, torch.inf))
    rows = torch.arange(len(x), device=x.device)
    fit = x.new_empty(3, len(x), 2)
    final_likelihood = likelihood.clone()
    for iteration in range(1, _MAX_ITERATIONS + 1):
        joint = share * posterior_0
        moments_0 = torch.stack([joint.sum(dim=1), (joint * x).sum(dim=1), (joint * xx).sum(dim=1)])
        weights, sums, squares = torch.stack([moments_0, total - moments_0], dim=2)
        weights = weights.clamp(min=1e-12)
        means = sums / weights
        variances = (squares / weights - means**2).clamp(min=MINIMUM_VARIANCE)

        # log(weight · density) of a component is square · x² + slope · x + constant
        square, slope = -0.5 / variances, means / variances
        constant = weights.log() - 0.5 * (2 * math.pi * variances).log() - 0.5 * means * slope
        square_0, slope_0, constant_0 = (each[:, :1] - each[:, 1:] for each in (square, slope, constant))
        log_odds = torch.addcmul(torch.addcmul(constant_0, slope_0, x), square_0, xx)
        posterior_0 = torch.sigmoid(log_odds)
        if iteration % _CHECK_EVERY:
            continue

        under_1 = square[:, 1] * total[2] + slope[:, 1] * total[1] + constant[:, 1] * total[0]
        now = under_1 + (share * softplus(log_odds, threshold=40)).sum(dim=1)
        last_gain, gain, likelihood = gain, now - likelihood, now
        slowing = (gain < last_gain) & last_gain.isfinite()
        left = torch.where(slowing, gain**2 / (last_gain - gain), torch.inf)
        done = (left < _TOLERANCE) | (gain < 1e-12) | (iteration == _MAX_ITERATIONS)
        if bool(done.any()):
            fit[:, rows[done]] = torch.stack([means + centre, variances, weights])[:, done]
            final_likelihood[rows[done]] = likelihood[done]
            go_on = ~done
            rows, total = rows[go_on], total[:, go_on]
            share, x, xx, centre = share[go_on], x[go_on], xx[go_on], centre[go_on]
            posterior_0, likelihood, gain = posterior_0[go_on], likelihood[go_on], gain[go_on]
            if not len(rows):
                break
    return fit[0], fit[1], fit[2], final_likelihood


def _two_means(groups: LossGroups, values: Tensor) -> Tensor:
    """1 for the groups below the split in two with the least squared deviations of `values`, 0 for those above."""
    # On the CPU, since prefix sums of floats differ from run to run on a GPU.
    count, values = groups.count.cpu(), values.cpu()
    below = count.cumsum(dim=1)
    sum_below = (count * values).cumsum(dim=1)
    above, sum_above = below[:, -1:] - below, sum_below[:, -1:] - sum_below
    between = below * above * (sum_below / below - sum_above / above.clamp(min=1)) ** 2
    split = between.argmax(dim=1, keepdim=True)
    return (torch.arange(count.shape[1]) <= split).to(groups.count)


def _check_losses(
    losses_NK: Tensor, given_NK: Tensor, image_ids: Sequence[str] | None, class_names: Sequence[str] | None
) -> None:
    if losses_NK.ndim != 2 or losses_NK.shape != given_NK.shape:
        raise InputError(
            "losses",
            f"shape {tuple(losses_NK.shape)} beside given labels of shape {tuple(given_NK.shape)}",
            "both (images, classes)",
            "pass one loss for every given label",
        )
    if not losses_NK.numel():
        return
    least, largest = losses_NK.aminmax()
    if least >= 0 and largest < torch.inf:
        return
    image, label = (~((losses_NK >= 0) & (losses_NK < torch.inf))).nonzero()[0].tolist()
    image_name = f"image {image_ids[image]}" if image_ids is not None else f"image at index {image}"
    class_name = f"class {class_names[label]}" if class_names is not None else f"class at index {label}"
    raise InputError(
        f"loss of {image_name}, {class_name}",
        str(losses_NK[image, label].item()),
        "a finite loss, 0 or more",
        "lower training.learning_rate, or look whether this image holds numbers that are not finite",
    )
