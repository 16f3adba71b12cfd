"""What three fast functions compute, in about ten lines each: oracles of their tests, and shown in docs/method.md."""

from __future__ import annotations

from collections import Counter

import numpy as np


def count_losses(losses: np.ndarray, given: np.ndarray) -> Counter[tuple[int, int, int]]:
    """`LossHistogram.add`: how many labels of each given value and class have a loss in each bin."""
    counts: Counter[tuple[int, int, int]] = Counter()
    for losses_of_image, labels_of_image in zip(losses, given, strict=True):
        for k, (loss, label) in enumerate(zip(losses_of_image, labels_of_image, strict=True)):
            # A float's bits ascend with it: sign, exponent, mantissa. Its upper 18 number the bins, 512 for each
            # octave. What is added to the loss makes the bins near 0 equally wide.
            bits = int(np.float32(loss + 2**-10).view(np.int32))
            counts[int(label), k, bits >> 14] += 1
    return counts


def fit_mixture(losses: np.ndarray, steps: int = 500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`fit_loss_mixtures` for one class and given value: means, variances, weights of two Gaussians, by EM."""
    x = np.sort(losses)
    cut = min(range(1, len(x)), key=lambda n: n * x[:n].var() + (len(x) - n) * x[n:].var())
    posterior = np.zeros((len(x), 2))
    posterior[:cut, 0] = posterior[cut:, 1] = 1
    for _ in range(steps):
        total = posterior.sum(axis=0)
        weights = total / len(x)
        means = x @ posterior / total
        variances = (posterior * (x[:, None] - means) ** 2).sum(axis=0) / total + 1e-6
        density = weights * np.exp(-((x[:, None] - means) ** 2) / (2 * variances)) / np.sqrt(variances)
        posterior = density / density.sum(axis=1, keepdims=True)
    return means, variances, weights


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """`average_precision` of one class: the area below precision over recall, a step for each distinct score."""
    known = [(score, label) for score, label in zip(scores, labels, strict=True) if label != -1]
    positives = sum(label == 1 for _, label in known)
    area, recall_before = 0.0, 0.0
    for threshold in sorted({score for score, _ in known}, reverse=True):
        called = [label for score, label in known if score >= threshold]
        recall, precision = called.count(1) / max(positives, 1), called.count(1) / len(called)
        area += (recall - recall_before) * precision
        recall_before = recall
    return area if positives else float("nan")
