"""Means, standard errors, differences between rows, and ranks: pure functions on numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Mean:
    """A mean over `count` runs; `error` is its standard error, None for a single run."""

    mean: float
    error: float | None
    count: int


@dataclass(frozen=True)
class Difference:
    """The mean of the differences of paired runs, and the interval of CONFIDENCE; low and high None for one pair."""

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def mean_of(values: Sequence[float]) -> Mean | None:
    """Mean and standard error, deviation / √n; None without a value."""
    if not values:
        return None
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Mean(statistics.fmean(values), error, len(values))


def paired_difference(own: Mapping[int | None, float], other: Mapping[int | None, float]) -> Difference | None:
    """Own less other, over the seeds that both have: the mean, and Student's interval for paired values.

    None without a common seed. Seeds move both alike, so a pair's difference varies less than either value does.
    """
    differences = [own[seed] - other[seed] for seed in own if seed in other]
    found = mean_of(differences)
    if found is None:
        return None
    if found.error is None:
        return Difference(found.mean, None, None, found.count)
    from scipy.stats import t

    width = float(t.ppf((1 + CONFIDENCE) / 2, found.count - 1)) * found.error
    return Difference(found.mean, found.mean - width, found.mean + width, found.count)


def ranks(scores: Mapping[str, float]) -> dict[str, float]:
    """Ranks from 1 for the largest score; equal scores share the mean of their ranks."""
    return {
        name: sum(other > score for other in scores.values())
        + (sum(other == score for other in scores.values()) + 1) / 2
        for name, score in scores.items()
    }


def polygon_area(radii: Sequence[float]) -> float:
    """The area of a polygon whose corners lie on rays at equal angles, at these distances from the centre."""
    angle = 2 * math.pi / len(radii)
    return sum(first * radii[i - 1] for i, first in enumerate(radii)) * math.sin(angle) / 2
