from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax
from sklearn.metrics import f1_score, precision_score, recall_score

from bmix.evaluation.calibration import (
    COLDEST,
    HOTTEST,
    calibrated,
    calibration_error,
    content,
    fit_calibration,
    fit_temperature,
    measure_split,
    reliability,
    tune_thresholds,
)


def drawn(temperature: float, images: int = 4000, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits too hot or too cold by `temperature`, and labels drawn by the right ones; every tenth cell is ignored."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 2, (images, classes))
    labels = (rng.random(logits.shape) < expit(logits)).astype(np.int8)
    labels[rng.random(labels.shape) < 0.1] = -1
    return (logits * temperature).astype(np.float32), labels


def cross_entropy(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    known = labels >= 0
    p = expit(logits[known].astype(float) / temperature)
    return float(-np.where(labels[known] == 1, np.log(p), np.log1p(-p)).mean())


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_is_that_of_the_least_cross_entropy(temperature: float) -> None:
    logits, labels = drawn(temperature)
    fitted = fit_temperature(logits, labels)
    assert fitted == pytest.approx(temperature, rel=0.1)
    searched = minimize_scalar(
        lambda t: cross_entropy(logits, labels, t), bounds=(0.1, 10), method="bounded", options={"xatol": 1e-9}
    )
    assert fitted == pytest.approx(searched.x, rel=1e-4)
    measured = measure_split(logits, labels, fitted)
    assert measured.nll == pytest.approx((cross_entropy(logits, labels, 1), cross_entropy(logits, labels, fitted)))
    assert measured.nll[1] <= measured.nll[0]
    if temperature != 1:
        assert measured.ece[1] < measured.ece[0] / 2


def test_temperatures_have_bounds_and_nothing_known_leaves_them_at_one() -> None:
    logits = np.array([[3.0], [-2.0]])
    assert fit_temperature(logits, np.array([[1], [0]])) == COLDEST
    assert fit_temperature(logits, np.array([[0], [1]])) == HOTTEST
    assert fit_temperature(logits, np.full((2, 1), -1)) == 1.0
    assert fit_temperature(np.zeros((2, 1)), np.array([[0], [1]])) == 1.0


def test_reliability_counts_as_a_slow_loop_does() -> None:
    rng = np.random.default_rng(1)
    p, labels = rng.random((200, 4)), rng.integers(-1, 2, (200, 4))
    p[0, 0], labels[0, 0] = 1.0, 1
    table, error = reliability(p, labels), 0.0
    rows = []
    for number in range(15):
        inside = [
            (p[n, k], labels[n, k])
            for n in range(200)
            for k in range(4)
            if labels[n, k] >= 0 and min(int(p[n, k] * 15), 14) == number
        ]
        if inside:
            probability, share = (sum(pair[i] for pair in inside) / len(inside) for i in (0, 1))
            rows.append((probability, share, len(inside)))
            error += abs(probability - share) * len(inside)
    np.testing.assert_allclose(table.to_numpy(), rows)
    assert calibration_error(table) == pytest.approx(error / (labels >= 0).sum())
    assert np.isnan(calibration_error(reliability(p, np.full_like(labels, -1))))


@pytest.mark.parametrize("asked", [0.0, 0.7])
def test_thresholds_are_the_best_of_all_there_are(asked: float) -> None:
    logits, labels = drawn(1.0, images=60)
    # Few values, so that many are equal.
    p = calibrated(logits, 1.0).round(1)
    table = tune_thresholds(p, labels, asked)
    for k, row in table.iterrows():
        known = labels[:, k] >= 0
        truth, scores = labels[known, k], p[known, k]
        tried = []
        for threshold in np.arange(0.0, 1.01, 0.01):
            called = (scores >= threshold).astype(int)
            if called.any():
                tried.append([score(truth, called) for score in (f1_score, precision_score, recall_score)])
        best = max(each[2] for each in tried if each[1] >= asked) if asked else max(each[0] for each in tried)
        called = (scores >= row["threshold"]).astype(int)
        assert (recall_score if asked else f1_score)(truth, called) == pytest.approx(best)
        assert row["f1"] == pytest.approx(f1_score(truth, called))
        assert row["precision"] == pytest.approx(precision_score(truth, called))
        assert row["recall"] == pytest.approx(recall_score(truth, called))
        assert row["positives"] == truth.sum()
        assert not np.isclose(scores, row["threshold"], atol=0.01).any()


def test_thresholds_of_odd_classes() -> None:
    p = np.array([[0.9, 0.2, 0.5], [0.1, 0.8, 0.4], [0.3, 0.3, 0.9]])
    labels = np.array([[0, 1, -1], [0, 1, -1], [0, 1, 1]])
    table = tune_thresholds(p, labels)
    # No positive: 0.5. All positive: below all of them. One known cell.
    assert table["threshold"].tolist() == pytest.approx([0.5, 0.1, 0.45])
    assert table["positives"].tolist() == [0, 3, 1]
    assert np.isnan(table["f1"][0])
    # A precision that none reaches: the most precise.
    unreachable = tune_thresholds(np.array([[0.9], [0.8], [0.7]]), np.array([[0], [1], [1]]), precision=0.99)
    assert unreachable["precision"][0] == pytest.approx(2 / 3)


def test_what_is_stored_is_json_and_holds_what_was_fitted() -> None:
    fitted = fit_calibration(drawn(2.0), {"test": drawn(2.0, seed=1)}, precision=0.8)
    stored = json.loads(json.dumps(content(fitted, ["a", "b", "c"], "0123"), allow_nan=False))
    assert stored["temperature"] == fitted.temperature == fitted.calibration.temperature
    assert stored["measured"]["test"]["ece"]["after"] < stored["measured"]["test"]["ece"]["before"]
    assert [row["threshold"] for row in stored["classes"].values()] == list(fitted.calibration.thresholds)
    assert fitted.calibration.fitted_on == stored["split"] == "val"
    present = fitted.calibration.present(np.array([fitted.calibration.thresholds, (0.0, 0.0, 1.0)]))
    assert present.tolist() == [[True] * 3, [False, False, True]]


def test_where_an_image_has_one_class_probabilities_are_a_softmax() -> None:
    rng = np.random.default_rng(0)
    right = rng.normal(0, 2, (4000, 3))
    drawn_classes = [rng.choice(3, p=row) for row in softmax(right, axis=1)]
    labels = np.eye(3, dtype=np.int8)[drawn_classes]
    logits = (3.0 * right).astype(np.float32)
    assert fit_temperature(logits, labels, single_label=True) == pytest.approx(3.0, rel=0.1)

    def mean_loss(temperature: float) -> float:
        return float(-log_softmax(logits.astype(float) / temperature, axis=1)[labels == 1].mean())

    fitted = fit_calibration((logits, labels), {}, single_label=True)
    searched = minimize_scalar(mean_loss, bounds=(COLDEST, HOTTEST), method="bounded", options={"xatol": 1e-9})
    assert fitted.temperature == pytest.approx(searched.x, rel=1e-4)
    own = fitted.measured["val"]
    assert own.nll == (pytest.approx(mean_loss(1.0)), pytest.approx(mean_loss(fitted.temperature)))
    assert own.ece[1] < own.ece[0]
    np.testing.assert_allclose(calibrated(logits, 2.0, single_label=True).sum(axis=1), 1)


def test_logits_that_separate_all_images_want_the_coldest_softmax() -> None:
    labels = np.eye(3, dtype=np.int8)
    assert fit_temperature(10.0 * labels, labels, single_label=True) == COLDEST
    assert fit_temperature(-10.0 * labels, labels, single_label=True) == HOTTEST
    assert fit_temperature(0.0 * labels, labels, single_label=True) == 1.0
