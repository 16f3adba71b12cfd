"""Two models on the same images: the difference of their mAP, and how sure it is, by a paired bootstrap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bmix.evaluation.metrics import average_precision

RESAMPLES = 500
_CELLS_AT_ONCE = 2**22


@dataclass(frozen=True)
class Difference:
    """The mAP of two models over one group of classes on the same images, in [0, 1].

    champion, candidate: of the images as they are. differences_R: candidate minus champion in each resample. classes:
    how many classes count.
    """

    champion: float
    candidate: float
    differences_R: np.ndarray
    classes: int

    @property
    def difference(self) -> float:
        """Candidate minus champion."""
        return self.candidate - self.champion

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The percentile interval of the difference."""
        tail = (1 - confidence) / 2
        low, high = np.quantile(self.differences_R, [tail, 1 - tail])
        return float(low), float(high)

    def risk(self, loss: float) -> float:
        """The share of the resamples in which the candidate loses more than `loss`."""
        return float((self.differences_R < -loss).mean())


def compare_models(
    champion_NK: np.ndarray,
    candidate_NK: np.ndarray,
    labels_NK: np.ndarray,
    groups: Mapping[str, np.ndarray],
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
) -> dict[str, Difference]:
    """The difference of two models' mAP over each group of classes.

    champion_NK, candidate_NK: scores, higher for present. labels_NK: 1, 0 and -1 for ignored cells. groups: the classes
    of each, bool (K,); a group without a class that has a positive is left out. Every resample draws N images with
    replacement, the same for both models (paired); a class without a positive in it counts with the value that it has
    on the images as they are, so that the same classes are averaged throughout.
    """
    values_2K = np.stack([average_precision(scores, labels_NK) for scores in (champion_NK, candidate_NK)])
    measured_K = ~np.isnan(values_2K[0])
    columns = np.flatnonzero(measured_K)
    resampled_2RK = np.empty((2, resamples, len(columns)))
    for first, counts_RN in _counts(len(labels_NK), resamples, generator):
        part = slice(first, first + len(counts_RN))
        for model, scores_NK in enumerate((champion_NK, candidate_NK)):
            for place, column in enumerate(columns):
                found_R = weighted_average_precision(scores_NK[:, column], labels_NK[:, column], counts_RN)
                resampled_2RK[model, part, place] = np.where(np.isnan(found_R), values_2K[model, column], found_R)
    differences = {}
    for name, members_K in groups.items():
        chosen = np.flatnonzero(members_K[columns])
        if len(chosen):
            means_2R = resampled_2RK[:, :, chosen].mean(axis=2)
            means_2 = values_2K[:, columns[chosen]].mean(axis=1)
            differences[name] = Difference(float(means_2[0]), float(means_2[1]), means_2R[1] - means_2R[0], len(chosen))
    return differences


def weighted_average_precision(scores_N: np.ndarray, labels_N: np.ndarray, counts_RN: np.ndarray) -> np.ndarray:
    """The average precision of one class where image n stands counts_RN[r, n] times, (R,); NaN without a positive.

    As `bmix.evaluation.metrics.average_precision` of the images repeated so often: those with equal scores are called
    together, and ignored cells (-1) count neither way.
    """
    known_N = labels_N >= 0
    order = np.argsort(-scores_N[known_N], kind="stable")
    scores_N, labels_N = scores_N[known_N][order], labels_N[known_N][order]
    counts_RN = counts_RN[:, known_N][:, order]
    called_RN = counts_RN.cumsum(axis=1, dtype=np.float64)
    hits_RN = counts_RN * (labels_N == 1)
    found_RN = hits_RN.cumsum(axis=1, dtype=np.float64)
    # The last image of each run of equal scores.
    last_N = np.searchsorted(-scores_N, -scores_N, side="right") - 1
    positives_N = np.flatnonzero(labels_N == 1)
    ends = last_N[positives_N]
    with np.errstate(invalid="ignore"):
        precision_RP = found_RN[:, ends] / called_RN[:, ends]
        hits_RP = hits_RN[:, positives_N]
        total_R = hits_RP.sum(axis=1)
        summed_R = np.where(hits_RP > 0, precision_RP * hits_RP, 0.0).sum(axis=1)
        return summed_R / np.where(total_R > 0, total_R, np.nan)


def _counts(images: int, resamples: int, generator: np.random.Generator) -> Iterator[tuple[int, np.ndarray]]:
    """Parts of the resamples: the number of the first, and how often each image stands in each, (R', N)."""
    at_once = max(1, min(resamples, _CELLS_AT_ONCE // max(images, 1)))
    for first in range(0, resamples, at_once):
        rows = min(at_once, resamples - first)
        drawn_RN = generator.integers(images, size=(rows, images))
        yield first, np.stack([np.bincount(row_N, minlength=images) for row_N in drawn_RN])
