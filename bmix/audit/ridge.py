"""Scores of every label by ridge regressions that never saw its row: all classes at once, in closed form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

STRENGTHS = tuple(float(value) for value in np.logspace(-3, 2, 11))
"""Ridge penalties that are tried, as multiples of the mean variance of a feature direction."""

BINS = 512
"""Of the histograms that areas under the curve are computed from."""

ROWS_AT_ONCE = 4096
ROWS_TO_CHOOSE_BY = 2**17
"""Rows by which the penalties are chosen; more would take long and choose the same."""

SHARED = 100
"""Positives that the mean over the classes counts for where a class's penalty is chosen."""

Blocks = Callable[[], Iterator[tuple[slice, np.ndarray]]]
"""Gives all rows once, in order, by blocks: where they are, and their features (B, D) of any floating type."""


@dataclass(frozen=True)
class OutOfFold:
    """Scores float32 (N, K) of models that never saw the row; each class's penalty and the area under its curve.

    auc_K: float64, of the given labels by the scores, NaN for a class without a positive or a negative. strength_K:
    the penalty that was chosen for it. slope_DK, offset_K: the mean of the folds' models, on features as they come.
    """

    scores_NK: np.ndarray
    auc_K: np.ndarray
    strength_K: np.ndarray
    slope_DK: np.ndarray
    offset_K: np.ndarray

    def of_others(self, features_BD: np.ndarray) -> np.ndarray:
        """Scores float32 (B, K) of rows that no model saw."""
        return (features_BD @ self.slope_DK + self.offset_K).astype(np.float32)


def blocks_of(features_ND: np.ndarray) -> Blocks:
    """The rows of an array, or of a memory map, by blocks."""

    def blocks() -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, len(features_ND), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            yield part, np.asarray(features_ND[part])

    return blocks


def out_of_fold_scores(
    blocks: Blocks, given_NK: np.ndarray, fold_N: np.ndarray, strengths: tuple[float, ...] = STRENGTHS
) -> OutOfFold:
    """The scores of ridge regressions of the given labels on standardised features, each row by the other folds.

    given_NK: 1, 0, and -1 for unknown, which pulls a model nowhere. fold_N: as `stratified_folds` gives them. Each
    class has the penalty by which its out-of-fold scores order its given labels best. A score is near the share of
    given positives among rows like this one; it is not held to [0, 1].
    A penalty is chosen by a class's own curve and by that of all classes, which counts for SHARED positives: the curve
    of a rare class alone is mostly chance.

    One pass gathers the products of each fold, and a model's are those of all folds less its own; one decomposition a
    fold serves all penalties and classes. Memory beyond the scores grows with folds · D², not with N.
    """
    products = _Products.of(blocks, given_NK, fold_N, _statistics(blocks))
    models = [products.model_without(fold) for fold in range(products.folds)]
    auc_SK = _areas(blocks, given_NK, fold_N, products, models, strengths)
    chosen_K = _chosen(auc_SK, (given_NK == 1).sum(axis=0))
    strength_K = np.asarray(strengths)[chosen_K]
    coefficients = [model.coefficients(strength_K) for model in models]
    scores_NK = np.empty(given_NK.shape, np.float32)
    for part, features_BD in blocks():
        centred_BD = products.standardised(features_BD)
        fold_B = fold_N[part]
        for fold in np.unique(fold_B):
            own = np.flatnonzero(fold_B == fold)
            slope_DK, offset_K = coefficients[fold]
            scores_NK[part.start + own] = centred_BD[own] @ slope_DK + offset_K
    slope_DK = np.mean([slope for slope, _ in coefficients], axis=0, dtype=np.float64)
    offset_K = np.mean([offset for _, offset in coefficients], axis=0, dtype=np.float64)
    slope_DK *= products.scale_D[:, None]
    offset_K -= products.mean_D @ slope_DK
    return OutOfFold(scores_NK, auc_SK[chosen_K, np.arange(len(chosen_K))], strength_K, slope_DK, offset_K)


@dataclass(frozen=True)
class _Model:
    """The decomposition of one training set: its mean, directions with their variances, their part in the labels."""

    mean_D: np.ndarray
    directions_DR: np.ndarray
    variance_R: np.ndarray
    covariance_RK: np.ndarray
    share_K: np.ndarray

    def weights(self, strength: float | np.ndarray) -> np.ndarray:
        """What each direction counts for each class, (R, K), under one penalty or one per class."""
        penalty = np.asarray(strength, np.float32) * self.variance_R.mean()
        return self.covariance_RK / (self.variance_R[:, None] + penalty)

    def coefficients(self, strength_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slope (D, K) and offset (K,) under a penalty for each class."""
        slope_DK = self.directions_DR @ self.weights(strength_K)
        return slope_DK, self.share_K - self.mean_D @ slope_DK


class _Products:
    """What the models of all folds follow from: each fold's count, sums, and sums of products."""

    def __init__(self, mean_D: np.ndarray, scale_D: np.ndarray, folds: int, classes: int) -> None:
        self.mean_D, self.scale_D, self.folds = mean_D, scale_D, folds
        width = len(mean_D)
        self._count_F = np.zeros(folds)
        self._sum_FD = np.zeros((folds, width))
        self._square_FDD = np.zeros((folds, width, width), np.float32)
        self._cross_FDK = np.zeros((folds, width, classes), np.float32)
        self._share_FK = np.zeros((folds, classes))

    @classmethod
    def of(
        cls, blocks: Blocks, given_NK: np.ndarray, fold_N: np.ndarray, statistics: tuple[np.ndarray, np.ndarray]
    ) -> _Products:
        products = cls(*statistics, int(fold_N.max()) + 1, given_NK.shape[1])
        known_K = (given_NK >= 0).sum(axis=0)
        share_K = (given_NK == 1).sum(axis=0) / np.maximum(known_K, 1)
        for part, features_BD in blocks():
            standard_BD, fold_B = products.standardised(features_BD), fold_N[part]
            target_BK = np.where(given_NK[part] < 0, share_K, given_NK[part]).astype(np.float32)
            for fold in np.unique(fold_B):
                products._add(fold, standard_BD[fold_B == fold], target_BK[fold_B == fold])
        return products

    def standardised(self, features_BD: np.ndarray) -> np.ndarray:
        """Features as float32 with mean 0 and variance 1; a feature that never changes is 0."""
        return ((features_BD - self.mean_D) * self.scale_D).astype(np.float32)

    def _add(self, fold: int, standard_BD: np.ndarray, target_BK: np.ndarray) -> None:
        self._count_F[fold] += len(standard_BD)
        self._sum_FD[fold] += standard_BD.sum(axis=0, dtype=np.float64)
        self._square_FDD[fold] += standard_BD.T @ standard_BD
        self._cross_FDK[fold] += standard_BD.T @ target_BK
        self._share_FK[fold] += target_BK.sum(axis=0, dtype=np.float64)

    def model_without(self, fold: int) -> _Model:
        """The model of all folds but one."""
        count = self._count_F.sum() - self._count_F[fold]
        mean_D = (self._sum_FD.sum(axis=0) - self._sum_FD[fold]) / count
        share_K = (self._share_FK.sum(axis=0) - self._share_FK[fold]) / count
        square_DD = self._square_FDD.sum(axis=0) - self._square_FDD[fold]
        square_DD = square_DD / count - np.outer(mean_D, mean_D).astype(np.float32)
        cross_DK = (self._cross_FDK.sum(axis=0) - self._cross_FDK[fold]) / count - np.outer(mean_D, share_K)
        variance_R, directions_DR = np.linalg.eigh(square_DD)
        variance_R = np.maximum(variance_R, 0)
        covariance_RK = directions_DR.T @ cross_DK.astype(np.float32)
        return _Model(mean_D.astype(np.float32), directions_DR, variance_R, covariance_RK, share_K.astype(np.float32))


def _statistics(blocks: Blocks) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each feature and one over its standard deviation, 0 for one that never changes; float64 (D,)."""
    count, total_D, square_D = 0, 0.0, 0.0
    for _, features_BD in blocks():
        values_BD = features_BD.astype(np.float64)
        count += len(values_BD)
        total_D = total_D + values_BD.sum(axis=0)
        square_D = square_D + np.square(values_BD).sum(axis=0)
    mean_D = total_D / count
    deviation_D = np.sqrt(np.maximum(square_D / count - np.square(mean_D), 0))
    moves_D = deviation_D > 1e-6 * np.maximum(np.abs(mean_D), 1e-6)
    return np.asarray(mean_D), np.where(moves_D, 1 / np.where(moves_D, deviation_D, 1), 0)


def _chosen(auc_SK: np.ndarray, positives_K: np.ndarray) -> np.ndarray:
    """The number of each class's penalty."""
    known_SK = np.where(np.isnan(auc_SK), 0.5, auc_SK)
    weighed_SK = positives_K * known_SK + SHARED * known_SK.mean(axis=1, keepdims=True)
    return weighed_SK.argmax(axis=0)


def _areas(
    blocks: Blocks,
    given_NK: np.ndarray,
    fold_N: np.ndarray,
    products: _Products,
    models: list[_Model],
    strengths: tuple[float, ...],
) -> np.ndarray:
    """The area under the curve of each class under each penalty, float64 (S, K); NaN without both given values.

    From histograms, so that memory does not grow with the rows; scores in one bin count as equal.
    """
    classes, stride = given_NK.shape[1], -(-len(given_NK) // ROWS_TO_CHOOSE_BY)
    counts = np.zeros((len(strengths), classes, 2, BINS), np.int64)
    weights = [[model.weights(strength) for strength in strengths] for model in models]
    low_SK, width_SK = _ranges(models, weights)
    class_K = np.arange(classes)
    for part, features_BD in blocks():
        rows = np.arange(-part.start % stride, len(features_BD), stride)
        standard_BD, fold_B, given_BK = (
            products.standardised(features_BD[rows]),
            fold_N[part][rows],
            given_NK[part][rows],
        )
        for fold in np.unique(fold_B):
            own, model = np.flatnonzero(fold_B == fold), models[fold]
            projected_BR = (standard_BD[own] - model.mean_D) @ model.directions_DR
            known_BK = given_BK[own] >= 0
            for number, weight_RK in enumerate(weights[fold]):
                scores_BK = projected_BR @ weight_RK + model.share_K
                bin_BK = ((scores_BK - low_SK[number]) / width_SK[number]).astype(np.int64).clip(0, BINS - 1)
                code_BK = (class_K * 2 + given_BK[own]) * BINS + bin_BK
                counts[number] += np.bincount(code_BK[known_BK], minlength=classes * 2 * BINS).reshape(classes, 2, BINS)
    return area_under_curve(counts[:, :, 0], counts[:, :, 1])


def _ranges(models: list[_Model], weights: list[list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The lowest score told apart, and the width of a bin, for each penalty and class, (S, K) both."""
    lows, highs = [], []
    for model, own in zip(models, weights, strict=True):
        deviation_SK = np.stack([np.sqrt(model.variance_R @ np.square(weight_RK)) for weight_RK in own])
        lows.append(model.share_K - 6 * deviation_SK)
        highs.append(model.share_K + 6 * deviation_SK)
    low_SK, high_SK = np.min(lows, axis=0), np.max(highs, axis=0)
    return low_SK, np.maximum((high_SK - low_SK) / BINS, np.finfo(np.float32).tiny)


def area_under_curve(negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """The chance that a positive scores above a negative, one of equal score counting half, from histograms.

    Counts (..., bins) in ascending order of the score; NaN for no positive or no negative.
    """
    below = negatives.cumsum(axis=-1) - negatives / 2
    pairs = negatives.sum(axis=-1) * positives.sum(axis=-1)
    wins = (positives * below).sum(axis=-1)
    return np.divide(wins, pairs, out=np.full(wins.shape, np.nan), where=pairs > 0)
