"""The benchmark of many classes: its labels stay those it was given, and its figures equal slow counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import many_classes
from bmix.method.mixture import fit_loss_mixtures
from bmix.method.refine import refine_labels
from bmix.method.sampling import class_confidence, instance_scores


def labels(images: int = 400, classes: int = 5) -> np.ndarray:
    frequency_K = np.array([0.5, 0.3, 0.2, 0.1, 0.02])[:classes]
    return (np.random.default_rng(0).random((images, classes)) < frequency_K).astype(np.uint8)


def test_kinds_of_a_class_add_up_to_it() -> None:
    labels_NK = labels()
    split_NK = many_classes.split_classes(labels_NK, 13, seed=0)
    assert split_NK.shape == (400, 13)
    ends = np.cumsum([3, 3, 3, 2])
    kinds = [part_NK.sum(axis=1) for part_NK in np.split(split_NK, ends, axis=1)]
    np.testing.assert_array_equal(np.stack(kinds, axis=1), labels_NK)
    count_K = split_NK.sum(axis=0)
    assert count_K[0] > count_K[1] > count_K[2] > 0


def test_sampler_table_counts_what_is_drawn() -> None:
    scene = many_classes.simulate(labels(), "mislabel", "middle", seed=0)
    table = many_classes.sampler_table(scene).set_index("drawn by")
    given_NK, images = scene.given_NK, len(scene.given_NK)
    uniform = table.loc["eq. 4, sharpness 0"]
    assert uniform["largest / smallest"] == pytest.approx(1)
    assert uniform["distinct, %"] == pytest.approx(100 * (1 - (1 - 1 / images) ** images))
    assert uniform[["effective, %", "labels", "rare"]].tolist() == pytest.approx([100, 1, 1])

    given, confidence = torch.from_numpy(given_NK), torch.from_numpy(scene.confidence_NK)
    weight_N = 1 / instance_scores(given, *class_confidence(confidence, given)).numpy()
    p_N = weight_N / weight_N.sum()
    eq4 = table.loc["eq. 4, sharpness 1"]
    assert eq4["largest / smallest"] == pytest.approx(p_N.max() / p_N.min())
    assert eq4["labels"] == pytest.approx((p_N * given_NK.sum(axis=1)).sum() / given_NK.sum(axis=1).mean())

    by_hand_N = np.zeros(images)
    for k in range(given_NK.shape[1]):
        shown = np.flatnonzero(given_NK[:, k])
        by_hand_N[shown] += 1 / len(shown) / given_NK.shape[1]
    rarest = given_NK[:, given_NK.sum(axis=0).argmin()].astype(bool)
    assert table.loc["class first", "rare"] == pytest.approx(by_hand_N[rarest].sum() / rarest.mean())


def test_mixture_table_counts_what_eq_9_says() -> None:
    scene = many_classes.simulate(labels(), "mislabel", "late", seed=0)
    table = many_classes.mixture_table(scene, many_classes.audit(scene))
    given, confidence = torch.from_numpy(scene.given_NK), torch.from_numpy(scene.confidence_NK)
    losses = torch.nn.functional.binary_cross_entropy(confidence, given.float(), reduction="none")
    p_clean = fit_loss_mixtures(losses, given).clean_probability(losses, given)
    refined, verdict, weight = refine_labels(given, p_clean, confidence, many_classes.EPSILON)
    class_K = scene.given_NK.sum(axis=0)
    assert table["number of classes"].sum() == len(class_K)
    for row, (low, high) in zip(table.itertuples(index=False), [(10, 30), (30, 100), (100, 300)], strict=True):
        right = [
            (n, k)
            for n, k in zip(*np.nonzero(scene.given_NK), strict=True)
            if low <= class_K[k] < high and scene.true_NK[n, k]
        ]
        doubted = np.mean([verdict[cell] != 0 for cell in right])
        kept = np.mean([float(refined[cell] * weight[cell]) for cell in right])
        assert row[4] == pytest.approx(100 * doubted)
        assert row[6] == pytest.approx(kept)


def test_numbers_as_markdown() -> None:
    scene = many_classes.simulate(labels(), "none", "early", seed=0)
    lines = many_classes.markdown(many_classes.settings_table(many_classes.audit(scene))).splitlines()
    assert lines[0].startswith("| settings | right, below 300 |")
    assert lines[2].startswith("| the paper's | ")
    assert lines[2].count("–") == 2
