from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from bmix.ablation.analyses.confidence import group_classes, pearson
from bmix.ablation.statistics import Difference, mean_of, paired_difference, polygon_area, ranks


def test_mean_and_standard_error_are_those_of_the_textbook() -> None:
    found = mean_of([1.0, 2.0, 6.0])
    assert found is not None
    deviation = math.sqrt(sum((value - 3) ** 2 for value in (1, 2, 6)) / 2)
    assert (found.mean, found.error, found.count) == (3, pytest.approx(deviation / math.sqrt(3)), 3)
    assert mean_of([]) is None
    assert mean_of([4.0]).error is None  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(5))
def test_the_paired_interval_is_that_of_the_paired_test(seed: int) -> None:
    rng = np.random.default_rng(seed)
    other = dict(enumerate(rng.normal(70, 3, 4)))
    own = {number: value + rng.normal(1, 0.8) for number, value in other.items()} | {9: 50.0}
    found = paired_difference(own, other)
    assert found is not None
    expected = ttest_rel([own[number] for number in other], list(other.values()))
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.beyond_noise == (expected.pvalue < 0.05)
    assert found.count == 4


def test_one_pair_has_no_interval_and_no_pair_no_difference() -> None:
    assert paired_difference({0: 3.0}, {0: 1.0, 1: 5.0}) == Difference(2, None, None, 1)
    assert not Difference(2, None, None, 1).beyond_noise
    assert paired_difference({0: 3.0}, {1: 1.0}) is None


def test_ranks_are_those_of_a_slow_count() -> None:
    rng = np.random.default_rng(0)
    scores = {str(number): float(value) for number, value in enumerate(rng.integers(0, 5, 12))}
    ordered = sorted(scores.values(), reverse=True)
    for name, rank in ranks(scores).items():
        places = [place for place, value in enumerate(ordered, 1) if value == scores[name]]
        assert rank == sum(places) / len(places)


def test_the_area_of_a_polygon_is_the_sum_of_its_triangles() -> None:
    radii = [1.0, 2.0, 0.5, 3.0, 1.5]
    angles = np.arange(5) * 2 * math.pi / 5
    x, y = radii * np.cos(angles), radii * np.sin(angles)
    shoelace = abs(sum(x[i] * y[(i + 1) % 5] - x[(i + 1) % 5] * y[i] for i in range(5))) / 2
    assert polygon_area(radii) == pytest.approx(shoelace)


def test_classes_are_grouped_by_frequency_in_parts_of_equal_size() -> None:
    rng = np.random.default_rng(1)
    classes = pd.DataFrame({"positives": rng.permutation(23), "confidence": rng.random(23), "ap": rng.random(23)})
    found = group_classes(classes)
    rows = sorted(classes.itertuples(index=False), key=lambda row: -row.positives)
    sizes = [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
    for number, size in enumerate(sizes):
        part, rows = rows[:size], rows[size:]
        assert found["ap"].iloc[number] == pytest.approx(sum(row.ap for row in part) / size)
        assert found["positives"].iloc[number] == pytest.approx(sum(row.positives for row in part) / size)
    assert found["group"].tolist() == list(range(1, 11))
    assert len(group_classes(classes.head(4))) == 4


def test_pearson_is_numpys_and_leaves_gaps_out() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.random(9), rng.random(9)
    second[3] = np.nan
    kept = ~np.isnan(second)
    assert pearson(first, second) == pytest.approx(np.corrcoef(first[kept], second[kept])[0, 1])
    assert math.isnan(pearson([1.0, 2.0], [3.0, 3.0]))
    assert math.isnan(pearson([1.0], [3.0]))
