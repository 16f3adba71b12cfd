"""Every class's losses as a short weighted list of values: what an EM iteration costs no longer depends on N."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Losses are binned by the upper bits of float32(loss + OFFSET): linear bins near zero, logarithmic ones above. A power
# of two, so that bins start on an octave; no more than the smallest standard deviation that a mixture may have (1e-3).
OFFSET = 2.0**-10
_OFFSET_BITS = 117 << 23
_DROPPED_BITS = 4
_LOW_BITS = 10
_FINE_PER_COARSE = 16
_COARSE_PER_OCTAVE = 32
_PLACES = _FINE_PER_COARSE << _LOW_BITS
_QUANTILES = 256
# A fine bin's count and its sum of low bits share one integer: count · 2^36 + sum, for fewer than 2^26 images.
_COUNT_SHIFT = 36
_MAX_BINS = 2**20
_MAX_LABELS = 2**20


@dataclass(frozen=True)
class LossGroups:
    """The losses of 2K sets of labels, summarised as G groups of neighbouring losses, in ascending order.

    Row `value · K + class` holds the labels of that class whose given value is `value`. `count`, `mean` and `variance`
    (the variance within the group) are (2K, G) float64; rows with fewer groups end in groups of count 0.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def rows(self, chosen: Tensor) -> LossGroups:
        """The chosen rows alone."""
        count = self.count[chosen]
        width = int((count > 0).sum(dim=1).max()) if len(chosen) else 0
        return LossGroups(count[:, :width], self.mean[chosen, :width], self.variance[chosen, :width])

    @property
    def log_mean(self) -> Tensor:
        """The means on the scale that the groups are spaced on."""
        return (self.mean + OFFSET).log()


def group_losses(losses_NK: Tensor, given_NK: Tensor) -> LossGroups:
    """Summarise the finite, non-negative float32 losses of each class and given value (bool).

    A group is never wider than 1/32 of an octave and never holds much more than 1/256 of its row's losses, unless these
    agree to 9 bits. Everything is counted in integers: the result is the same for every order of the images and on
    every device. Needs memory for some tens of MB beyond its inputs, whatever N and K.
    """
    number_of_classes = losses_NK.shape[1]
    maximum = losses_NK.max() if losses_NK.numel() else losses_NK.new_zeros(())
    coarse_bins = (int(_places(maximum)) // _PLACES) + 1
    width = max(1, _MAX_BINS // (2 * coarse_bins * _FINE_PER_COARSE))
    parts = [
        _merge(_count_losses(losses_NK[:, low : low + width], given_NK[:, low : low + width], coarse_bins))
        for low in range(0, max(1, number_of_classes), width)
    ]
    count, places, squares, coarse = (torch.cat(part, dim=1).flatten(0, 1) for part in zip(*parts, strict=True))

    full_first = (count == 0).to(torch.uint8).argsort(dim=1, stable=True)
    full_first = full_first[:, : int((count > 0).sum(dim=1).max()) if count.numel() else 0]
    count, places, squares, coarse = (each.gather(1, full_first) for each in (count, places, squares, coarse))

    # Within a coarse bin a float is linear in its bits, so sums of bits give the mean and the variance of the losses.
    one_or_more = count.clamp(min=1).double()
    octave, step = coarse // _COARSE_PER_OCTAVE, coarse % _COARSE_PER_OCTAVE
    unit = torch.ldexp(torch.full_like(one_or_more, OFFSET / (_COARSE_PER_OCTAVE * _PLACES)), octave)
    mean_place = places / one_or_more
    mean = unit * ((_COARSE_PER_OCTAVE + step) * _PLACES + mean_place + 0.5) - OFFSET
    variance = unit**2 * (squares / one_or_more - mean_place**2).clamp(min=0)
    return LossGroups(count.double(), mean, variance)


def _places(losses: Tensor) -> Tensor:
    """The place of each loss on the integer scale of float32(loss + OFFSET), from 0."""
    return ((losses + OFFSET).view(torch.int32) - _OFFSET_BITS) >> _DROPPED_BITS


def _count_losses(losses_NK: Tensor, given_NK: Tensor, coarse_bins: int) -> Tensor:
    """Counts and sums of low bits (2, K, F) int64 of the losses in fine bins."""
    number_of_classes, fine_bins = losses_NK.shape[1], coarse_bins * _FINE_PER_COARSE
    first_bin = torch.arange(2 * number_of_classes, device=losses_NK.device).view(2, number_of_classes) * fine_bins
    counts = torch.zeros(2 * number_of_classes * fine_bins, dtype=torch.int64, device=losses_NK.device)
    rows = max(1, _MAX_LABELS // max(1, number_of_classes))
    for losses, given in zip(losses_NK.split(rows), given_NK.split(rows), strict=True):
        places = _places(losses)
        bins = torch.where(given, first_bin[1], first_bin[0]).add_(places >> _LOW_BITS)
        low = (places & ((1 << _LOW_BITS) - 1)).long().add_(1 << _COUNT_SHIFT)
        counts.scatter_add_(0, bins.flatten(), low.flatten())
    return counts.view(2, number_of_classes, fine_bins)


def _merge(counts_2KF: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Merge fine bins into groups: count, sum and sum of squares of the places in the coarse bin, the coarse bin."""
    fine_bins, device = counts_2KF.shape[2], counts_2KF.device
    count, low = counts_2KF >> _COUNT_SHIFT, counts_2KF & ((1 << _COUNT_SHIFT) - 1)
    fine = torch.arange(fine_bins, device=device)
    coarse, first_place = fine // _FINE_PER_COARSE, (fine % _FINE_PER_COARSE) << _LOW_BITS
    cumulative = count.cumsum(dim=2)
    total = cumulative[:, :, -1:].clamp(min=1)
    # Both terms ascend, so their sum changes exactly where one of them does.
    group = (cumulative - count) * _QUANTILES // total + coarse
    empty = count.new_zeros(*count.shape[:2], fine_bins // _FINE_PER_COARSE + _QUANTILES + 1)
    return (
        empty.scatter_add(2, group, count),
        empty.scatter_add(2, group, count * first_place + low),
        empty.scatter_add(2, group, count * (first_place + low // count.clamp(min=1)) ** 2),
        empty.scatter(2, group, coarse.expand_as(group)),
    )
