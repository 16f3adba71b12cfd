"""The paired bootstrap against average precision of images that are really repeated."""

from __future__ import annotations

import numpy as np
import pytest

from bmix.evaluation.metrics import average_precision
from bmix.randomness import numpy_generator
from bmix.retraining.bootstrap import compare_models, weighted_average_precision


def example(images: int = 60, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels_NK = (rng.random((images, classes)) < 0.3).astype(np.int8)
    # Few distinct values, so that many scores are equal.
    scores_NK = np.round(rng.random((images, classes)) + 0.5 * labels_NK, 1).astype(np.float32)
    labels_NK[rng.random(labels_NK.shape) < 0.1] = -1
    return scores_NK, labels_NK


def test_counted_images_are_as_good_as_repeated_ones() -> None:
    scores_NK, labels_NK = example()
    counts_RN = np.random.default_rng(1).integers(0, 4, size=(20, len(scores_NK)))
    for column in range(scores_NK.shape[1]):
        found_R = weighted_average_precision(scores_NK[:, column], labels_NK[:, column], counts_RN)
        slow_R = [
            average_precision(*(values.repeat(counts_N, axis=0)[:, [column]] for values in (scores_NK, labels_NK)))[0]
            for counts_N in counts_RN
        ]
        np.testing.assert_allclose(found_R, slow_R, rtol=1e-12)


def test_a_class_without_a_positive_in_a_resample_has_no_value() -> None:
    found_R = weighted_average_precision(np.array([0.9, 0.1]), np.array([1, 0]), np.array([[1, 1], [0, 2]]))
    assert found_R[0] == 1
    assert np.isnan(found_R[1])


def test_the_difference_and_its_interval_are_those_of_a_slow_loop() -> None:
    first_NK, labels_NK = example()
    second_NK = first_NK + 0.3 * (labels_NK == 1)
    groups = {"all": np.ones(4, bool), "few": np.array([False, False, True, True]), "none": np.zeros(4, bool)}
    found = compare_models(first_NK, second_NK, labels_NK, groups, numpy_generator(0, "test"), resamples=40)
    assert list(found) == ["all", "few"]
    generator = numpy_generator(0, "test")
    rows_RN = generator.integers(len(labels_NK), size=(40, len(labels_NK)))
    for name, difference in found.items():
        members_K = groups[name]
        slow_R = [
            average_precision(second_NK[rows_N], labels_NK[rows_N])[members_K].mean()
            - average_precision(first_NK[rows_N], labels_NK[rows_N])[members_K].mean()
            for rows_N in rows_RN
        ]
        np.testing.assert_allclose(difference.differences_R, slow_R, rtol=1e-9)
        assert difference.champion == pytest.approx(average_precision(first_NK, labels_NK)[members_K].mean())
        assert difference.interval() == pytest.approx(tuple(np.quantile(slow_R, [0.025, 0.975])))
        assert difference.difference > 0
        assert difference.risk(0.0) == np.mean(np.array(slow_R) < 0)


def test_parts_of_the_resamples_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    first_NK, labels_NK = example()
    arguments = (first_NK, first_NK[::-1], labels_NK, {"all": np.ones(4, bool)})
    whole = compare_models(*arguments, numpy_generator(3), resamples=10)["all"]
    monkeypatch.setattr("bmix.retraining.bootstrap._CELLS_AT_ONCE", 3 * len(labels_NK))
    parts = compare_models(*arguments, numpy_generator(3), resamples=10)["all"]
    np.testing.assert_array_equal(whole.differences_R, parts.differences_R)


def test_classes_without_a_positive_are_left_out() -> None:
    scores_NK, labels_NK = example()
    labels_NK[:, 0] = 0
    found = compare_models(scores_NK, scores_NK, labels_NK, {"all": np.ones(4, bool)}, numpy_generator(0), 5)["all"]
    assert found.classes == 3
    assert found.difference == 0
    assert found.risk(0.0) == 0
