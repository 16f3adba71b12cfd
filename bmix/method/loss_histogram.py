"""Every class's losses as a short weighted list of values: what an EM iteration costs no longer depends on N."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from bmix.method.checks import check_given
from bmix.support.errors import InputError

# Losses are binned by the upper bits of float32(loss + OFFSET): linear bins near zero, logarithmic ones above. A power
# of two, so that bins start on an octave; no more than the smallest standard deviation that a mixture may have (1e-3).
OFFSET = 2.0**-10
_OFFSET_BITS = 117 << 23
_LOW_BITS = 14
_BINS_PER_OCTAVE = 1 << (23 - _LOW_BITS)
_BINS_PER_COARSE = 16
_COARSE_PER_OCTAVE = _BINS_PER_OCTAVE // _BINS_PER_COARSE
_PLACES_PER_OCTAVE = 1 << 23
_QUANTILES = 256
# A bin's count and the sum of its losses' low bits share one integer: count · 2^38 + sum.
_COUNT_SHIFT = 38
_MAX_IMAGES = 2 ** (_COUNT_SHIFT - _LOW_BITS)
_LARGEST_LOSS = torch.finfo(torch.float32).max
_LABELS_AT_ONCE = 2**17
_BINS_AT_ONCE = 2**17


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one CPU thread: parts that fit the cache are so small that threads mostly wait for each other.

    On a machine that others use too, two threads made the fit ten times slower. And sums do not depend on their number.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class LossGroups:
    """The losses of R sets of labels, summarised as G groups of neighbouring losses, in ascending order.

    `count`, `mean` and `variance` (the variance within the group) are (R, G) float64; rows with fewer groups end in
    groups of count 0.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def rows(self, chosen: Tensor) -> LossGroups:
        """The chosen rows alone."""
        count = self.count[chosen]
        width = _in_lanes(int((count > 0).sum(dim=1).max())) if len(chosen) else 0
        return LossGroups(count[:, :width], self.mean[chosen, :width], self.variance[chosen, :width])

    def merged(self, quantiles: int, per_octave: int, alone_R: Tensor) -> LossGroups:
        """Neighbours made into one where they share a quantile and a part of an octave; no row of `alone` changes."""
        below = self.count.cumsum(dim=1)
        part_of_octave = (self.log_mean * (per_octave / math.log(2))).floor()
        key = ((below - self.count) * (quantiles / below[:, -1:])).floor() + part_of_octave
        starts = ((key.diff(dim=1, prepend=key[:, :1] - 1) != 0) | alone_R[:, None]) & (self.count > 0)
        into = starts.cumsum(dim=1).sub_(1).clamp_(min=0)
        width = _in_lanes(int(into[:, -1].max()) + 1)
        moments = torch.stack([self.count, self.count * self.mean, self.count * (self.mean**2 + self.variance)])
        empty = moments.new_zeros(3, len(key), width)
        count, total, square = empty.scatter_add_(2, into.expand_as(moments), moments)
        mean = total / count.clamp(min=1)
        return LossGroups(count, mean, (square / count.clamp(min=1) - mean**2).clamp_(min=0))

    @property
    def log_mean(self) -> Tensor:
        """The means on the scale that the groups are spaced on."""
        return (self.mean + OFFSET).log()


class LossHistogram:
    """The losses of K classes by given value, counted batch by batch in memory that does not depend on N.

    Everything is counted in integers: the histogram is the same for every order and every split into batches, and on
    every device. It takes 16 bytes for every class and bin: 512 bins for every octave above 2^-10: 11 MB at 80
    classes with losses up to 100.
    """

    def __init__(self, number_of_classes: int, device: torch.device | str = "cpu") -> None:
        self._images = 0
        self.device = torch.device(device)
        self._counts = torch.zeros(2 * number_of_classes, 0, dtype=torch.int64, device=device)

    @one_thread()
    @torch.no_grad()
    def add(
        self,
        losses_BK: Tensor,
        given_BK: Tensor,
        *,
        image_ids: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Count the losses (B, K) float of the given labels (B, K), bool or 0/1, both on the histogram's device.

        Losses are counted in float32, those of narrower types widened first; no gradients flow.

        Raises InputError for losses that are NaN, negative or beyond float32, naming class and image by `class_names`
        and `image_ids` (of this batch), or by index where these are not given; for given labels other than 0 and 1; for
        another number of classes; for more than 2^24 images in all. Nothing of such a batch is counted.
        """
        largest = check_losses(losses_BK, given_BK, image_ids, class_names)
        if not losses_BK.numel():
            return
        if 2 * losses_BK.shape[1] != len(self._counts):
            raise InputError(
                "losses",
                f"{losses_BK.shape[1]} classes",
                f"{len(self._counts) // 2} classes, as the histogram has",
                "pass the losses of every class",
            )
        if self._images + len(losses_BK) > _MAX_IMAGES:
            raise InputError(
                "losses",
                f"{self._images + len(losses_BK)} images",
                f"at most {_MAX_IMAGES}",
                "fit the mixtures to a part of the images",
            )
        self._images += len(losses_BK)
        self._reach(largest)
        rows, bins = self._counts.shape
        first_bin = torch.arange(rows, dtype=torch.int32, device=self._counts.device) * bins
        first_bin -= _OFFSET_BITS >> _LOW_BITS
        if_absent, if_present = first_bin.view(2, -1)
        counts = self._counts.view(-1)
        images = max(1, _LABELS_AT_ONCE // losses_BK.shape[1])
        shifted, low_bits = (torch.empty(0, dtype=kind, device=counts.device) for kind in (torch.float32, torch.int32))
        for losses, given in zip(losses_BK.split(images), given_BK.split(images), strict=True):
            wide = losses.to(torch.promote_types(losses.dtype, torch.float32))
            torch.add(wide, OFFSET, out=shifted.resize_(losses.shape))
            bits = shifted.view(torch.int32)
            torch.bitwise_and(bits, (1 << _LOW_BITS) - 1, out=low_bits.resize_(losses.shape))
            bits >>= _LOW_BITS
            bits += torch.where(given.bool(), if_present, if_absent)
            amount = low_bits.long().add_(1 << _COUNT_SHIFT)
            counts.scatter_add_(0, bits.long().view(-1), amount.view(-1))

    @one_thread()
    def groups(self) -> LossGroups:
        """The 2K sets of labels as groups, on the CPU; row `value · K + class` holds the labels of given value `value`.

        A group is never wider than 1/32 of an octave and never holds much more than 1/256 of its row's losses, unless
        these agree to 9 bits.
        """
        # From here on the work is small, and sums of floats on a GPU differ from run to run.
        all_counts = self._counts.cpu()
        rows = max(1, _BINS_AT_ONCE // max(1, all_counts.shape[1]))
        parts = [_merge(counts) for counts in all_counts.split(rows)]
        width = _in_lanes(max(part.count.shape[1] for part in parts))
        columns = zip(*((part.count, part.mean, part.variance) for part in parts), strict=True)
        return LossGroups(*(torch.cat([pad(each, (0, width - each.shape[1])) for each in part]) for part in columns))

    def _reach(self, largest: float) -> None:
        """Make bins for losses up to `largest`."""
        bits = torch.tensor(largest + OFFSET, dtype=torch.float32).view(torch.int32)
        octaves = ((int(bits) - _OFFSET_BITS) >> 23) + 1
        missing = octaves * _BINS_PER_OCTAVE - self._counts.shape[1]
        if missing > 0:
            self._counts = pad(self._counts, (0, missing))


def check_losses(
    losses_NK: Tensor, given_NK: Tensor, image_ids: Sequence[str] | None, class_names: Sequence[str] | None
) -> float:
    """The largest loss, 0 without any; InputError if one is NaN, negative or beyond float32, a given label is not 0
    or 1, or the shapes differ."""
    if losses_NK.ndim != 2 or losses_NK.shape != given_NK.shape:
        raise InputError(
            "losses",
            f"shape {tuple(losses_NK.shape)} beside given labels of shape {tuple(given_NK.shape)}",
            "both (images, classes)",
            "pass one loss for every given label",
        )
    check_given(given_NK)
    if not losses_NK.numel():
        return 0.0
    least, largest = (each.item() for each in losses_NK.aminmax())
    if least >= 0 and largest <= _LARGEST_LOSS:
        return largest
    image, label = (~((losses_NK >= 0) & (losses_NK <= _LARGEST_LOSS))).nonzero()[0].tolist()
    image_name = f"image {image_ids[image]}" if image_ids is not None else f"image at index {image}"
    class_name = f"class {class_names[label]}" if class_names is not None else f"class at index {label}"
    raise InputError(
        f"loss of {image_name}, {class_name}",
        str(losses_NK[image, label].item()),
        "a finite loss, 0 or more, in the range of float32",
        "lower training.learning_rate, or look whether this image holds numbers that are not finite",
    )


def _in_lanes(groups: int) -> int:
    """The next multiple of 16: vector instructions then reach every group, and no row differs by where it stands."""
    return -(-groups // 16) * 16


def _merge(counts_RF: Tensor) -> LossGroups:
    """Merge the bins of R rows into groups, and their bits into losses."""
    rows, bins = counts_RF.shape
    device = counts_RF.device
    count, low = counts_RF >> _COUNT_SHIFT, counts_RF & ((1 << _COUNT_SHIFT) - 1)
    bin_ = torch.arange(bins, device=device)
    coarse, first_place = bin_ // _BINS_PER_COARSE, (bin_ % _BINS_PER_COARSE) << _LOW_BITS
    below = count.cumsum(dim=1)
    total = below[:, -1:].double().clamp(min=1)
    # Both terms ascend, so their sum changes exactly where one of them does.
    group = ((below - count) * (_QUANTILES / total)).long().add_(coarse)
    empty = count.new_zeros(rows, bins // _BINS_PER_COARSE + _QUANTILES + 1)
    place = first_place + (low / count.clamp(min=1)).long()
    sums = [
        empty.scatter_add(1, group, count),
        empty.scatter_add(1, group, low.addcmul_(count, first_place)),
        empty.scatter_add(1, group, place.square_().mul_(count)),
        empty.scatter(1, group, coarse.expand_as(group)),
    ]
    full_first = (sums[0] == 0).to(torch.uint8).argsort(dim=1, stable=True)
    full_first = full_first[:, : int((sums[0] > 0).sum(dim=1).max()) if rows else 0]
    count, places, squares, coarse = (each.gather(1, full_first) for each in sums)

    # Within a coarse bin a float is linear in its bits: sums of bits give the mean and the variance of the losses.
    one_or_more = count.clamp(min=1).double()
    octave, step = coarse // _COARSE_PER_OCTAVE, coarse % _COARSE_PER_OCTAVE
    unit = torch.ldexp(torch.full_like(one_or_more, OFFSET / _PLACES_PER_OCTAVE), octave)
    mean_place = places / one_or_more
    first = _PLACES_PER_OCTAVE + step * (_BINS_PER_COARSE << _LOW_BITS)
    mean = (unit * (first + mean_place) - OFFSET).mul_(count > 0)
    variance = unit**2 * (squares / one_or_more - mean_place**2).clamp(min=0)
    return LossGroups(count.double(), mean, variance)
