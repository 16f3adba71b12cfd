from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from bmix.noise import inject, measured_rates

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif("BMIX_TEST_DATA" not in os.environ, reason="BMIX_TEST_DATA names no folder of real data"),
]
Z = 4.0
"""How many standard errors a measured rate may be off: 1 in 16,000 by chance; for 80 classes at once, 1 in 8,000."""
Z_OF_80 = 4.8


@pytest.fixture(scope="module")
def true() -> np.ndarray:
    packed = np.load(Path(os.environ["BMIX_TEST_DATA"]) / "coco-train2014-labels.npz")["labels_packed"]
    return np.unpackbits(packed, axis=1)[:, :80]


def assert_rate(rates: dict, name: str, among: str, rate: float) -> None:
    for each, z in ((rates, Z), *((each, Z_OF_80) for each in rates["per_class"])):
        assert each[name] == pytest.approx(rate, abs=z * np.sqrt(rate * (1 - rate) / each[among]))


@pytest.mark.parametrize("rate", [0.2, 0.4])
def test_mislabelling_is_measured_at_its_rate_and_flips_and_missing_at_theirs(true: np.ndarray, rate: float) -> None:
    mislabelled = measured_rates(true, inject(true, "mislabel", rate, np.random.default_rng(1)))
    assert mislabelled["positives"] == 241_035
    assert mislabelled["added"] == mislabelled["removed"]
    assert_rate(mislabelled, "removed_rate", "positives", rate)
    flipped = measured_rates(true, inject(true, "flip", rate, np.random.default_rng(2)))
    assert_rate(flipped, "removed_rate", "positives", rate)
    assert_rate(flipped, "added_rate", "negatives", rate)
    missing = measured_rates(true, inject(true, "missing", rate, np.random.default_rng(3)))
    assert missing["added"] == 0
    assert_rate(missing, "removed_rate", "positives", rate)


def test_replacements_of_each_class_follow_equation_11(true: np.ndarray) -> None:
    """Images with one hit, by the class that was hit: N_j renormalised over what each image does not show, summed."""
    given = inject(true, "mislabel", 0.4, np.random.default_rng(4))
    lost, got = (true == 1) & (given == 0), (true == 0) & (given == 1)
    one = lost.sum(axis=1) == 1
    source, target = lost[one].argmax(axis=1), got[one].argmax(axis=1)
    weights = (1 - true[one]) * true.sum(axis=0, dtype=float)
    weights /= weights.sum(axis=1, keepdims=True)
    statistics, freedoms = [], []
    for i in range(80):
        observed = np.bincount(target[source == i], minlength=80)
        expected = weights[source == i].sum(axis=0)
        assert observed[expected == 0].sum() == 0
        often = expected >= 5
        observed, expected = (np.append(counts[often], counts[~often].sum()) for counts in (observed, expected))
        observed, expected = observed[expected > 0], expected[expected > 0]
        if len(expected) == 1:
            continue
        statistics.append(((observed - expected) ** 2 / expected).sum())
        freedoms.append(len(expected) - 1)
        assert statistics[-1] < chi2.ppf(1 - 1e-4 / 80, freedoms[-1])
    assert one.sum() > 30_000
    assert len(freedoms) > 75
    assert chi2.ppf(1e-4, sum(freedoms)) < sum(statistics) < chi2.ppf(1 - 1e-4, sum(freedoms))


def test_class_dependent_noise_keeps_the_share_of_its_diagonal(true: np.ndarray) -> None:
    shares = np.random.default_rng(5).dirichlet(np.ones(80), size=80)
    matrix = 0.7 * np.eye(80) + 0.3 * shares
    rates = measured_rates(true, inject(true, "class-dependent", 0.0, np.random.default_rng(6), matrix))
    for each, leaves in zip(rates["per_class"], 1 - matrix.diagonal(), strict=True):
        error = Z_OF_80 * np.sqrt(leaves * (1 - leaves) / each["positives"])
        assert each["removed_rate"] == pytest.approx(leaves, abs=error)


def test_one_positive_of_each_image_is_kept(true: np.ndarray) -> None:
    given = inject(true, "single-positive", 0.0, np.random.default_rng(7))
    assert (given.sum(axis=1) == 1).all()
    assert (given <= true).all()
    share = true / true.sum(axis=1, keepdims=True)
    error = Z_OF_80 * np.sqrt((share * (1 - share)).sum(axis=0))
    assert (np.abs(given.sum(axis=0) - share.sum(axis=0)) <= error).all()
