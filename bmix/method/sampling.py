"""Eq. 2-4: which images the minority sampler draws, from how sure the model is of their given labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bmix.method.checks import check_fractions, check_given, check_shape
from bmix.method.settings import LARGEST_SHARPNESS
from bmix.support.errors import InputError

_UNKNOWN = 0.5
_LEAST_SCORE = 1e-12
_ROWS_AT_ONCE = 128
_DRAWS_AT_ONCE = 2**16
_STEPS = 4


@dataclass(frozen=True)
class RareLabels:
    """The given labels, class by class, as the cells of their rarer value: in most classes the positives.

    Eq. 2-3 need these cells alone, besides sums over whole columns. Given labels do not change during a run, so that
    one of these serves every epoch.
    """

    index: Tensor
    """(R,) int64: the cells, in the order of the flat (N, K) matrix."""
    rows: np.ndarray
    """(R,) int64: their images."""
    classes: np.ndarray
    """(R,) int64: their classes."""
    count_K: np.ndarray
    """(K,) int64: how many of the cells each class has."""
    is_present_K: np.ndarray
    """(K,) bool: whether the rarer value is 1; so in a tie."""
    shape: tuple[int, int]
    """N and K."""

    @classmethod
    def of(cls, given_NK: Tensor) -> RareLabels:
        """Of the given labels (N, K), bool or 0/1, else InputError; the cells stay on their device."""
        if given_NK.ndim != 2:
            found = f"shape {tuple(given_NK.shape)}"
            raise InputError("given labels", found, "(images, classes)", "pass one row per image")
        check_given(given_NK)
        given = given_NK.bool().cpu().numpy()
        index, rows, classes, count_K = _cells(given)
        is_present_K = 2 * count_K <= len(given)
        if not is_present_K.all():
            index, rows, classes, count_K = _cells(given == is_present_K)
        return cls(torch.from_numpy(index).to(given_NK.device), rows, classes, count_K, is_present_K, given.shape)


@torch.no_grad()
def class_confidence(confidence_NK: Tensor, given: Tensor | RareLabels) -> tuple[Tensor, Tensor]:
    """Eq. 2: P(k), the mean confidence that a given label is present, and A(k), that a label not given is absent.

    Takes f_k(x) (N, K) float in [0, 1] and the given labels (N, K), bool or 0/1, or what `RareLabels.of` makes of them;
    returns presence P and absence A, each (K,) float64 in [0, 1] on the confidences' device. A class without a label
    of that value gets 0.5, the confidence of a model that knows nothing; eq. 3 uses it for none of these N instances.
    No gradients flow.

    Raises InputError for shapes that differ, given labels other than 0 and 1, confidences that are not finite, and
    those outside [0, 1] at a class's rarer value, or at the other one where that moves their mean outside: to look at
    each of these would take a third of the time again.
    """
    rare = given if isinstance(given, RareLabels) else RareLabels.of(given)
    number_of_images, number_of_classes = rare.shape
    check_shape("confidence", confidence_NK.shape, "given labels", rare.shape)
    # The rarer half is summed cell by cell; what the other half loses to the subtraction is below float32's rounding.
    confidence_R = confidence_NK.reshape(-1).index_select(0, rare.index.to(confidence_NK.device)).double().cpu().numpy()
    if not _in_unit_interval(confidence_R):
        check_fractions("confidence", confidence_NK)
    rare_sum_K = np.bincount(rare.classes, confidence_R, number_of_classes)
    rare_K = _mean(rare_sum_K, rare.count_K)
    other_sum_K, other_count_K = _column_sums(confidence_NK) - rare_sum_K, number_of_images - rare.count_K
    if not _in_unit_interval(other_sum_K / np.maximum(other_count_K, 1)):
        check_fractions("confidence", confidence_NK)
    other_K = _mean(other_sum_K, other_count_K)
    presence_K = np.where(rare.is_present_K, rare_K, other_K)
    absence_K = 1 - np.where(rare.is_present_K, other_K, rare_K)
    return torch.from_numpy(presence_K).to(confidence_NK.device), torch.from_numpy(absence_K).to(confidence_NK.device)


def instance_scores(given: Tensor | RareLabels, presence_K: Tensor, absence_K: Tensor) -> Tensor:
    """Eq. 3: Score(x, ỹ) = Σ_k P(k) where ỹ_k = 1, A(k) where ỹ_k = 0.

    Takes the given labels (N, K), bool or 0/1, or what `RareLabels.of` makes of them, and the two results of
    `class_confidence`; returns (N,) float64 in [0, K] on the device of these. No gradients flow. Raises InputError for
    results of another number of classes, NaN or outside [0, 1], and for given labels other than 0 and 1.
    """
    rare = given if isinstance(given, RareLabels) else RareLabels.of(given)
    for name, each_K in (("presence", presence_K), ("absence", absence_K)):
        check_shape(name, each_K.shape, "classes", rare.shape[1:])
        check_fractions(name, each_K)
    presence, absence = (each_K.detach().double().cpu().numpy() for each_K in (presence_K, absence_K))
    rare_K, other_K = np.where(rare.is_present_K, [presence, absence], [absence, presence])
    change_N = np.bincount(rare.rows, (rare_K - other_K)[rare.classes], rare.shape[0])
    # A sum that should be 0 may fall below it by a rounding.
    return torch.from_numpy(np.maximum(other_K.sum() + change_N, 0)).to(presence_K.device)


@torch.no_grad()
def sampling_probability(scores_N: Tensor, sharpness: float = 1.0) -> Tensor:
    """Eq. 4 and its family: p(x) ∝ Score(x)^(-sharpness), which is eq. 4 at 1 and uniform at 0.

    Takes scores (N,), finite and not negative; returns (N,) float64 that sums to 1. Scores below 1e-12 count as 1e-12:
    an instance of which the model believes nothing is drawn often, but not with a probability of NaN. No gradients
    flow. Scores that are negative, NaN or infinite, and a sharpness outside [0, 1000], raise InputError.
    """
    if not 0 <= sharpness <= LARGEST_SHARPNESS:
        expected = f"a number from 0 to {LARGEST_SHARPNESS:.0f}"
        raise InputError("method.sharpness", str(sharpness), expected, "correct method.sharpness")
    usable = (scores_N >= 0) & (scores_N < torch.inf)
    if not bool(usable.all()):
        index = int((~usable).nonzero()[0])
        raise InputError(
            f"score of the instance at index {index}",
            str(scores_N[index].item()),
            "a finite number, 0 or more",
            "look whether the model's confidences hold numbers that are not finite",
        )
    return torch.softmax(scores_N.double().clamp(min=_LEAST_SCORE).log_().mul_(-sharpness), dim=0)


def draw(probability_N: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Draw `size` instances with replacement, each independently from `probability_N`.

    Takes (N,) of any positive sum and any N; returns (size,) int64 on its device. The numbers are drawn on the
    generator's device and looked up on the CPU, so that a CPU generator gives the same indices whatever the device. An
    instance of probability 0 is never drawn. A probability that is negative or not finite, and a sum of 0, raise
    InputError.
    """
    probability = probability_N.detach().to("cpu", torch.float64)
    cumulative = probability.cumsum(dim=0).numpy()
    total = cumulative[-1] if len(cumulative) else 0.0
    if not 0 < total < np.inf or float(probability.min()) < 0:
        raise InputError(
            "sampling probabilities",
            f"{len(probability)} of them, sum {float(probability.sum())}, {int((probability < 0).sum())} negative",
            "at least one, none negative, with a finite sum above 0",
            "pass what sampling_probability returns",
        )
    uniform = torch.rand(size, dtype=torch.float64, device=generator.device, generator=generator).cpu().numpy()
    cumulative /= total
    return torch.from_numpy(_look_up(uniform, cumulative)).to(probability_N.device)


def _look_up(uniform: np.ndarray, cumulative: np.ndarray) -> np.ndarray:
    """For each number in [0, 1) the first index whose cumulative probability, which ends at 1, is above it.

    Indexed search: a table of equal intervals says where to begin, from where half a step is expected, whatever the
    probabilities; the few draws that are not there after `_STEPS` are searched for by bisection.
    """
    intervals = 2 * min(len(cumulative), len(uniform))
    ends = np.bincount((cumulative * intervals).astype(np.int64), minlength=intervals + 1)
    begin = ends.cumsum()
    begin -= ends
    index = np.empty(len(uniform), dtype=np.int64)
    # In parts that stay in the processor's cache; `take` with "clip", as no index is out of bounds, is not buffered.
    for part in range(0, len(uniform), _DRAWS_AT_ONCE):
        target, found = uniform[part : part + _DRAWS_AT_ONCE], index[part : part + _DRAWS_AT_ONCE]
        begin.take((target * intervals).astype(np.int64), out=found, mode="clip")
        behind = np.flatnonzero(cumulative.take(found, mode="clip") <= target)
        place, target = found[behind], target[behind]
        for _ in range(_STEPS):
            place += 1
            found[behind] = place
            still = cumulative.take(place, mode="clip") <= target
            behind, place, target = behind[still], place[still], target[still]
        found[behind] = np.searchsorted(cumulative, target, side="right")
    return index


def _column_sums(values_NK: Tensor) -> np.ndarray:
    """(K,) float64: of 128 long rows in float32, which takes one pass over the memory, and of these in float64."""
    dtype = torch.promote_types(values_NK.dtype, torch.float32)
    number_of_images, number_of_classes = values_NK.shape
    rows = number_of_images - number_of_images % _ROWS_AT_ONCE
    side_by_side = values_NK[:rows].reshape(-1, _ROWS_AT_ONCE * number_of_classes).sum(dim=0, dtype=dtype)
    sums_K = side_by_side.view(_ROWS_AT_ONCE, number_of_classes).sum(dim=0, dtype=torch.float64)
    return (sums_K + values_NK[rows:].sum(dim=0, dtype=torch.float64)).cpu().numpy()


def _cells(true_NK: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where a bool matrix is true: places in the flat matrix, rows, columns; and their number in each column."""
    number_of_columns = true_NK.shape[1]
    index = np.flatnonzero(true_NK)
    rows, columns = np.divmod(index, max(1, number_of_columns))
    return index, rows, columns, np.bincount(columns, minlength=number_of_columns)


def _in_unit_interval(values: np.ndarray) -> bool:
    return bool(values.min(initial=0) >= 0 and values.max(initial=1) <= 1)


def _mean(sum_K: np.ndarray, count_K: np.ndarray) -> np.ndarray:
    return np.where(count_K > 0, (sum_K / np.maximum(count_K, 1)).clip(0, 1), _UNKNOWN)
