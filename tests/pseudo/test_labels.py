"""Thresholds and counts against slow loops."""

from __future__ import annotations

import numpy as np

from bmix.pseudo.labels import precision, pseudo_classes, pseudo_labels, pseudo_table


def test_what_is_between_the_thresholds_is_unknown() -> None:
    confidence_UK = np.append(np.random.default_rng(0).random((20, 4)), [[0.2, 0.7, 0.2 + 1e-9, 0.7 - 1e-9]], axis=0)
    labels_UK = pseudo_labels(confidence_UK, present=0.7, absent=0.2)
    assert labels_UK.dtype == np.int8
    for row, values in enumerate(confidence_UK):
        for k, value in enumerate(values):
            assert labels_UK[row, k] == (1 if value >= 0.7 else 0 if value <= 0.2 else -1)


def test_of_one_class_an_image_the_likeliest_counts() -> None:
    confidence_UK = np.random.default_rng(2).dirichlet(np.full(4, 0.3), size=40)
    labels_UK = pseudo_classes(confidence_UK, present=0.8)
    for row, values in enumerate(confidence_UK.tolist()):
        best = max(range(4), key=lambda k: values[k])
        expected = [int(k == best) for k in range(4)] if values[best] >= 0.8 else [-1] * 4
        assert labels_UK[row].tolist() == expected
    assert (pseudo_classes(confidence_UK, present=0.0).sum(axis=1) == 1).all()


def test_the_table_counts_and_scores_each_class() -> None:
    rng = np.random.default_rng(1)
    labels_UK, true_UK = rng.integers(-1, 2, (30, 3)), rng.integers(0, 2, (30, 3))
    labels_UK[:, 2] = 0
    table = pseudo_table(labels_UK, ["ant", "bee", "cat"], true_UK)
    for k, row in enumerate(table):
        for word, value in (("present", 1), ("absent", 0)):
            chosen = [u for u in range(30) if labels_UK[u, k] == value]
            assert row[word] == len(chosen)
            right = sum(true_UK[u, k] == value for u in chosen)
            assert row[f"{word}_precision"] == (round(right / len(chosen), 6) if chosen else None)
        assert row["unknown"] == sum(labels_UK[u, k] == -1 for u in range(30))
    assert [row["class"] for row in table] == ["ant", "bee", "cat"]
    assert precision(labels_UK, None, 1) is None
    assert all(row["present_precision"] is None for row in pseudo_table(labels_UK, ["ant", "bee", "cat"], None))
