"""Logistic curves from scores to probabilities, one per class, fitted to histograms of the scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 1024
_STEPS = 50
_EM_STEPS = 200
_LARGEST_STEP = 5.0
_CLOSE = 1e-6


@dataclass(frozen=True)
class ScoreCounts:
    """How many labels of each given value have which standardised score: counts (K, 2, B) at centres (K, B).

    mean_K, scale_K: a score s has the standardised value (s - mean) · scale.
    """

    counts: np.ndarray
    centres: np.ndarray
    mean_K: np.ndarray
    scale_K: np.ndarray

    @classmethod
    def of(cls, scores_NK: np.ndarray, given_NK: np.ndarray) -> ScoreCounts:
        """From scores (N, K) and given labels of 1 and 0; other values are left out."""
        classes = scores_NK.shape[1]
        counts, centres = np.zeros((classes, 2, BINS)), np.zeros((classes, BINS))
        mean_K, scale_K = np.zeros(classes), np.ones(classes)
        for k in range(classes):
            known = given_NK[:, k] >= 0
            scores = scores_NK[known, k].astype(np.float64)
            if len(scores) and scores.std() > 0:
                mean_K[k], scale_K[k] = scores.mean(), 1 / scores.std()
            standard = (scores - mean_K[k]) * scale_K[k]
            low, high = (standard.min(), standard.max()) if len(standard) else (0.0, 0.0)
            width = max((high - low) / BINS, np.finfo(np.float32).tiny)
            bins = ((standard - low) / width).astype(np.int64).clip(0, BINS - 1)
            np.add.at(counts[k], (given_NK[known, k], bins), 1)
            centres[k] = low + (np.arange(BINS) + 0.5) * width
        return cls(counts, centres, mean_K, scale_K)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) without overflow."""
    return np.exp(-np.logaddexp(0, -logits))


def fit_given(counts: ScoreCounts) -> np.ndarray:
    """Slope and intercept (K, 2) of the log-odds that a label is given as present  (Platt 1999).

    Targets are drawn in by one count each way, as Platt does, so that a class which its scores separate has a finite
    slope.
    """
    number_K2 = counts.counts.sum(axis=2)
    low_K, high_K = 1 / (number_K2[:, 0] + 2), (number_K2[:, 1] + 1) / (number_K2[:, 1] + 2)
    weight_KB = counts.counts.sum(axis=1)
    wanted_KB = counts.counts[:, 0] * low_K[:, None] + counts.counts[:, 1] * high_K[:, None]
    return _fit(weight_KB, wanted_KB, counts.centres, _start(number_K2))


def fit_present(counts: ScoreCounts, false_K: np.ndarray, lost_K: np.ndarray) -> np.ndarray:
    """Slope and intercept (K, 2) of the log-odds that a label is truly present, whatever was given.

    false_K: P(given 1 | truly absent); lost_K: P(given 0 | truly present); both in (0, 1). The truth is latent: EM over
    t ~ Bernoulli(sigmoid(slope · score + intercept)) and the given value, which depends on t alone.
    """
    line_K2 = _start(counts.counts.sum(axis=2))
    weight_KB = counts.counts.sum(axis=1)
    odds_K2 = evidence(false_K, lost_K)
    for _ in range(_EM_STEPS):
        logits_KB = line_K2[:, :1] * counts.centres + line_K2[:, 1:]
        present_K2B = sigmoid(logits_KB[:, None] + odds_K2[:, :, None])
        before = line_K2
        line_K2 = _fit(weight_KB, (counts.counts * present_K2B).sum(axis=1), counts.centres, line_K2, steps=3)
        if np.abs(line_K2 - before).max() < _CLOSE:
            break
    return line_K2


def evidence(false_K: np.ndarray, lost_K: np.ndarray) -> np.ndarray:
    """How much a given value, 0 or 1, adds to the log-odds that the label is truly present: (K, 2)."""
    return np.stack([np.log(lost_K) - np.log1p(-false_K), np.log1p(-lost_K) - np.log(false_K)], axis=1)


def _start(number_K2: np.ndarray) -> np.ndarray:
    share_K = (number_K2[:, 1] + 0.5) / (number_K2.sum(axis=1) + 1)
    return np.stack([np.ones(len(share_K)), np.log(share_K / (1 - share_K))], axis=1)


def _fit(
    weight_KB: np.ndarray, wanted_KB: np.ndarray, centres_KB: np.ndarray, line_K2: np.ndarray, steps: int = _STEPS
) -> np.ndarray:
    """Newton's method for all classes at once; `wanted`: the weight that counts as present."""
    line_K2 = line_K2.copy()
    for _ in range(steps):
        share_KB = sigmoid(line_K2[:, :1] * centres_KB + line_K2[:, 1:])
        rest_KB, curve_KB = wanted_KB - weight_KB * share_KB, weight_KB * share_KB * (1 - share_KB)
        first_K, second_K = (rest_KB * centres_KB).sum(axis=1), rest_KB.sum(axis=1)
        # A touch of curvature keeps an empty class solvable.
        a_K = (curve_KB * centres_KB**2).sum(axis=1) + _CLOSE
        b_K, c_K = (curve_KB * centres_KB).sum(axis=1), curve_KB.sum(axis=1) + _CLOSE
        determinant_K = a_K * c_K - b_K**2
        step_K2 = np.stack([c_K * first_K - b_K * second_K, a_K * second_K - b_K * first_K], axis=1)
        step_K2 /= determinant_K[:, None]
        size_K = np.abs(step_K2).sum(axis=1, keepdims=True)
        step_K2 *= np.minimum(1, _LARGEST_STEP / np.maximum(size_K, _LARGEST_STEP))
        line_K2 += step_K2
        if np.abs(step_K2).max() < _CLOSE:
            break
    return line_K2
