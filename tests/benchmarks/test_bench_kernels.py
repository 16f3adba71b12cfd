"""The peers that the small benchmarks time compute what ours compute, and their figures say what was measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import average_precision, sampler, scores
from bmix.evaluation import metrics
from bmix.method.sampling import class_confidence, instance_scores, sampling_probability


def test_scores() -> None:
    figures = scores.bench(images=3000, rounds=3)
    assert figures["ratio"] == pytest.approx(figures["peer"] / figures["ours"], abs=0.006)
    assert figures["rounds"] == 3
    assert figures["ours_error"] < 1e-6
    confidence_NK, given_NK = (matrix.double() for matrix in scores.confidences(3000))
    ours_N = instance_scores(given_NK, *class_confidence(confidence_NK, given_NK))
    torch.testing.assert_close(scores.dense_scores(confidence_NK, given_NK), ours_N, rtol=1e-12, atol=0)


def test_sampler() -> None:
    figures = sampler.bench(instances=2000, beyond=3000, rounds=3)
    assert figures["ratio"] == pytest.approx(figures["peer"] / figures["ours"], abs=0.006)
    assert (figures["beyond"], figures["beyond_peer"]) == (3000, "draws")
    probability_N = sampling_probability(sampler.eq3_scores(2000))
    for peer in (sampler.multinomial, sampler.multinomial_float32):
        drawn = peer(probability_N, 50_000, torch.Generator().manual_seed(0))
        counts_10 = torch.bincount(drawn, minlength=2000).view(10, 200).sum(dim=1)
        torch.testing.assert_close(
            counts_10 / 50_000, probability_N.view(10, 200).sum(dim=1).float(), atol=0.01, rtol=0
        )


def test_average_precision() -> None:
    figures = average_precision.bench(images=600, rounds=2)
    assert figures["ratio"] == pytest.approx(figures["peer"] / figures["ours"], abs=0.006)
    assert max(figures["differences"].values()) < 1e-12
    predicted, labels = average_precision.predictions(600)
    assert (labels.sum(axis=0) > 0).all()
    np.testing.assert_allclose(
        average_precision.by_class(predicted, labels), metrics.average_precision(predicted, labels), rtol=0, atol=1e-12
    )
