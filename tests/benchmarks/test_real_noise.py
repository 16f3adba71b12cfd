"""The benchmark of real noise tells noise that features show from noise that they do not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import real_noise


def test_wrong_labels_by_class() -> None:
    rng = np.random.default_rng(0)
    kind_N = rng.integers(3, size=600)
    features_ND = np.eye(3)[kind_N] + 0.3 * rng.standard_normal((600, 3))
    true_NK = np.eye(3, dtype=np.uint8)[kind_N]
    given_NK = true_NK.copy()
    # All of the second kind carry the third label, too; a tenth of all others carry the first.
    given_NK[kind_N == 1, 2] = 1
    given_NK[(kind_N > 0) & (rng.random(600) < 0.1), 0] = 1
    table = real_noise.class_table(features_ND, given_NK, true_NK).set_index("class")
    assert table["given"].tolist() == given_NK.sum(axis=0).tolist()
    wrong = 100 * ((given_NK == 1) & (true_NK == 0)).sum(axis=0) / given_NK.sum(axis=0)
    assert table["wrong"].tolist() == pytest.approx(wrong.tolist())
    assert table.loc[3, ["most in images of", "of these"]].tolist() == [2, 100]
    assert table.loc[1, "ROC area"] > 95
    assert abs(table.loc[3, "ROC area"] - 50) < 10
    assert np.isnan(table.loc[2, "ROC area"])
