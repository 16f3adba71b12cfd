"""The benchmark of the audit at toy size: its figures are shares, and its rows name what they compare."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import audit, audit_images


def test_the_speed_is_a_ratio_at_equal_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = audit.bench_speed(images=400, features=16, classes=3)
    assert figures["ratio"] == pytest.approx(figures["logistic_seconds"] / figures["seconds"])
    assert 0.5 < figures["auc"] <= 1
    assert "400 × 16 numbers, 3 classes" in capsys.readouterr().out


def test_the_comparison_leaves_out_what_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    features_ND, _, true_NK = audit.pictures(300, 16, 3)
    true_NK[:50, 0] = -1
    figures = audit.compare(features_ND, true_NK, ["mislabel 0.2"], seed=0)
    found = figures["mislabel 0.2, audit"]
    assert found["auc"] > 0.8
    assert 0.05 < found["share"] < 0.4
    assert "mislabel 0.2, logistic regression" in figures
    assert "estimated" in capsys.readouterr().out


def test_made_up_pictures_are_long_tailed_and_have_a_class_each() -> None:
    _, given_NK, true_NK = audit.pictures(500, 8, 4)
    assert true_NK.any(axis=1).all()
    assert true_NK.sum(axis=0)[0] > true_NK.sum(axis=0)[-1]
    assert (given_NK != true_NK).any()
    assert np.isin(given_NK, (0, 1)).all()


def test_instances_have_few_wrong_labels_and_their_average_is_that_of_a_loop() -> None:
    features, given, true = audit_images.instances(400, 5, 6, 2, np.random.default_rng(0))
    assert np.allclose(np.linalg.norm(features, axis=1), 1)
    wrong = (given != true).sum(axis=1)
    assert 0 < wrong.mean() < 0.6
    assert wrong.max() <= 3
    right = np.random.default_rng(1).random((20, 6))
    for row, found in zip(right, audit_images.averaged(right), strict=True):
        expected = max(row)
        for share in sorted(row, reverse=True)[1:]:
            expected = 0.8 * share + 0.2 * expected
        assert found == pytest.approx(expected)
