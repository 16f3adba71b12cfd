"""Eq. 6-7: the likeliest two-component Gaussian mixture of every row of grouped losses, by accelerated EM."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from bmix.method.loss_histogram import LossGroups, one_thread

ADDED_VARIANCE = 1e-6
# Below this many labels the likelihood has so many optima that two starts miss ones that scikit-learn finds. With more
# starts than three the likeliest is ever more often a narrow component about a handful of labels, which is no better
# at telling wrong labels from right ones.
_FEW = 1024
_QUANTILES, _PER_OCTAVE = 32, 4
_ROUGH, _FINE = 1e-2, 1e-3
_MAX_CYCLES = 1000
_CHECK_EVERY = 3
_LONGEST_STEP = 256.0
# The M step's added variance keeps it from the summit of the likelihood, by no more than this many nats.
_MAY_FALL = 1e-4


@one_thread()
def likeliest_mixtures(groups: LossGroups) -> tuple[Tensor, Tensor, Tensor]:
    """Means, variances and weights (R, 2) float64 of the likeliest mixture of every row, among several starts.

    The starts are the exact splits in two of the losses and of their logarithms with the least squared deviations, and
    of their squares for rows of fewer than 1024 labels, which have more optima. Every start is followed on coarser
    groups, and the likeliest goes on with the groups as they are. 1e-6 is added to every variance, as in scikit-learn.
    """
    few = groups.count.sum(dim=1) < _FEW
    coarse = groups.merged(_QUANTILES, _PER_OCTAVE, few)
    every_row, few_rows = torch.arange(len(few)), few.nonzero().squeeze(1)
    row = torch.cat([every_row, every_row, few_rows])
    starts = [_two_means(coarse.count, coarse.mean), _two_means(coarse.count, coarse.log_mean)]
    starts.append(_two_means(coarse.count[few], coarse.mean[few] ** 2))
    moments = _Moments.of(coarse, row)
    fit, likelihood = _converge(moments, moments.maximise(torch.cat(starts)), _ROUGH)

    by_start = likelihood.new_full((3, len(few)), -torch.inf)
    start = torch.arange(3).repeat_interleave(torch.tensor([len(few), len(few), len(few_rows)]))
    by_start[start, row] = likelihood
    likeliest = start == by_start.argmax(dim=0)[row]
    fit = fit[likeliest][row[likeliest].argsort()]

    fit, _ = _converge(_Moments.of(groups, every_row), fit, _FINE)
    weight_0 = torch.sigmoid(fit[:, 4])
    return fit[:, :2], fit[:, 2:4].exp(), torch.stack([weight_0, torch.sigmoid(-fit[:, 4])], dim=1)


def _converge(moments: _Moments, fit: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Fits (R, 5) and log-likelihoods (R,) after EM from `fit`, leaping ahead along its path (SQUAREM).

    Each cycle takes two EM steps, a leap along the parabola through them and a step from there; a leap to a place less
    likely than the last one is not taken. A row stops once the distance that is left, extrapolated from how its steps
    shrink, is below `tolerance`: in standard deviations of its losses, and in logarithms of variances and weights.
    """
    result, likelihoods = torch.empty_like(fit), torch.empty_like(fit[:, 0])
    row = torch.arange(len(fit))
    highest = torch.full_like(likelihoods, -torch.inf)
    unit = torch.ones_like(fit)
    unit[:, :2] /= moments.deviation[:, None]
    for cycle in range(1, _MAX_CYCLES + 1):
        once = moments.step(fit)
        twice = moments.step(once)
        change = once - fit
        bend = twice - once - change
        length = (change * unit).norm(dim=1)
        leap = (length / (bend * unit).norm(dim=1).clamp(min=1e-300)).clamp(1, _LONGEST_STEP)
        far = torch.addcmul(torch.addcmul(fit, change, 2 * leap[:, None]), bend, leap[:, None] ** 2)
        far[:, 2:4].clamp_(min=math.log(ADDED_VARIANCE))
        log_odds = moments.log_odds(far)
        likelihood = moments.likelihood(far, log_odds)
        beyond = moments.maximise(log_odds.sigmoid_())
        fit = torch.where((likelihood >= highest - _MAY_FALL)[:, None], beyond, twice)
        highest = torch.maximum(likelihood, highest)
        if cycle % _CHECK_EVERY and cycle != _MAX_CYCLES:
            continue
        go_on = (length * leap >= tolerance) & (cycle < _MAX_CYCLES)
        result[row], likelihoods[row] = fit, highest
        if not bool(go_on.any()):
            break
        if not bool(go_on.all()):
            row, fit, highest, unit, moments = row[go_on], fit[go_on], highest[go_on], unit[go_on], moments.rows(go_on)
    return result, likelihoods


@dataclass(frozen=True)
class _Moments:
    """What EM sums over the groups of R rows: shares of the losses, and those times x and x², (R, G) and in all (R, 3).

    A row of parameters is mean_0, mean_1, the logarithms of both variances, and the log-odds of weight_0.
    """

    x: Tensor
    xx: Tensor
    share: Tensor
    share_x: Tensor
    share_xx: Tensor
    total: Tensor

    @classmethod
    def of(cls, groups: LossGroups, row: Tensor) -> _Moments:
        x, xx = groups.mean, groups.mean**2 + groups.variance
        share = groups.count / groups.count.sum(dim=1, keepdim=True)
        total = torch.stack([share.sum(dim=1), (share * x).sum(dim=1), (share * xx).sum(dim=1)], dim=1)
        return cls(x, xx, share, share * x, share * xx, total).rows(row)

    def rows(self, chosen: Tensor) -> _Moments:
        return _Moments(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    @property
    def deviation(self) -> Tensor:
        return (self.total[:, 2] - self.total[:, 1] ** 2).clamp(min=ADDED_VARIANCE).sqrt()

    def maximise(self, posterior_0: Tensor) -> Tensor:
        """The M step from the posteriors (R, G) of component 0."""
        sums = [(each * posterior_0).sum(dim=1) for each in (self.share, self.share_x, self.share_xx)]
        of_0 = torch.stack(sums, dim=1)
        weights, first, second = torch.stack([of_0, self.total - of_0], dim=2).unbind(1)
        weights = weights.clamp(min=1e-12)
        means = first / weights
        log_variances = (second / weights - means**2).clamp_(min=0).add_(ADDED_VARIANCE).log_()
        log_odds = (weights[:, :1] / weights[:, 1:]).log_()
        return torch.cat([means, log_variances, log_odds], dim=1)

    def step(self, fit: Tensor) -> Tensor:
        """One EM step."""
        return self.maximise(self.log_odds(fit).sigmoid_())

    def log_odds(self, fit: Tensor) -> Tensor:
        """Of component 0 at every group, (R, G)."""
        by_power = _log_densities(fit)
        constant, slope, square = (by_power[..., :1] - by_power[..., 1:]).unbind()
        return torch.addcmul(constant, slope, self.x).addcmul_(square, self.xx)

    def likelihood(self, fit: Tensor, log_odds: Tensor) -> Tensor:
        """The mean log-likelihood (R,)."""
        under_1 = (_log_densities(fit)[..., 1].T * self.total).sum(dim=1)
        return under_1 + (self.share * softplus(log_odds, threshold=40)).sum(dim=1)


def _log_densities(fit: Tensor) -> Tensor:
    """(3, R, 2): log(weight · density) of each component is [0] + [1] · x + [2] · x²."""
    means, log_variances, odds = fit[:, :2], fit[:, 2:4], fit[:, 4:]
    log_weights = torch.cat([-softplus(-odds), -softplus(odds)], dim=1)
    square = -0.5 * (-log_variances).exp()
    slope = -2 * square * means
    return torch.stack([log_weights - 0.5 * (log_variances + slope * means + math.log(2 * math.pi)), slope, square])


def _two_means(count: Tensor, values: Tensor) -> Tensor:
    """1 for the groups below the split in two with the least squared deviations of `values`, 0 for those above."""
    below = count.cumsum(dim=1)
    sum_below = (count * values).cumsum(dim=1)
    above, sum_above = below[:, -1:] - below, sum_below[:, -1:] - sum_below
    between = below * above * (sum_below / below - sum_above / above.clamp(min=1)) ** 2
    split = between.argmax(dim=1, keepdim=True)
    return (torch.arange(count.shape[1]) <= split).double()
