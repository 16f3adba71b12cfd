from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.errors import InputError
from bmix.noise import KINDS, inject, measured_rates, transition


def long_tailed(images: int = 20_000, classes: int = 12, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((images, classes)) < np.geomspace(0.5, 0.01, classes)).astype(np.uint8)


def test_mislabelling_hits_each_positive_at_the_rate() -> None:
    true = long_tailed()
    given = inject(true, "mislabel", 0.4, np.random.default_rng(1))
    rates = measured_rates(true, given)
    assert rates["removed_rate"] == pytest.approx(0.4, abs=4 * np.sqrt(0.24 / rates["positives"]))
    for each in rates["per_class"]:
        assert each["removed_rate"] == pytest.approx(0.4, abs=4 * np.sqrt(0.24 / each["positives"]))
    assert rates["added"] == rates["removed"]
    assert np.array_equal(given.sum(axis=1), true.sum(axis=1))


def test_replacements_are_distributed_as_equation_11_says() -> None:
    true = long_tailed(30_000, 8, seed=3)
    positives = true.sum(axis=0).astype(float)
    given = inject(true, "mislabel", 0.3, np.random.default_rng(2))
    one_hit = ((true == 1) & (given == 0)).sum(axis=1) == 1
    observed, expected, variance = np.zeros(8), np.zeros(8), np.zeros(8)
    for truth, noisy in zip(true[one_hit], given[one_hit], strict=True):
        replacement = (1 - truth) * positives / ((1 - truth) * positives).sum()
        expected += replacement
        variance += replacement * (1 - replacement)
        observed += (noisy == 1) & (truth == 0)
    assert observed.sum() == one_hit.sum() > 5000
    assert (np.abs(observed - expected) < 4 * np.sqrt(variance)).all()


def test_replacement_in_single_label_images_by_chi_square() -> None:
    rng = np.random.default_rng(5)
    label = rng.choice(6, size=40_000, p=np.geomspace(1, 0.05, 6) / np.geomspace(1, 0.05, 6).sum())
    true = np.eye(6, dtype=np.uint8)[label]
    positives = true.sum(axis=0)
    given = inject(true, "mislabel", 0.5, rng)
    moved = np.zeros((6, 6))
    np.add.at(moved, (label, given.argmax(axis=1)), 1)
    chi_square = 0.0
    for i in range(6):
        share = np.array([0.5 * positives[j] / (positives.sum() - positives[i]) if j != i else 0.5 for j in range(6)])
        chi_square += ((moved[i] - positives[i] * share) ** 2 / (positives[i] * share)).sum()
    assert chi_square < 59.7  # the 99.9 % quantile at 30 degrees of freedom


def test_two_hits_of_an_image_never_fall_on_one_class() -> None:
    true = np.zeros((3000, 5), dtype=np.uint8)
    true[:, :2] = 1
    true[0] = [0, 0, 1, 0, 0]
    true[1:4] = [0, 0, 0, 1, 1]
    given = inject(true, "mislabel", 0.95, np.random.default_rng(0))
    assert np.array_equal(given.sum(axis=1), true.sum(axis=1))
    assert (given[4:, 2:].sum(axis=1) == 2).mean() > 0.8


def test_a_second_replacement_is_drawn_in_proportion_to_what_is_left() -> None:
    true = np.zeros((60_000, 5), dtype=np.uint8)
    true[:30_000, :2] = 1
    for k, count in ((2, 3000), (3, 2000), (4, 1000)):
        true[30_000 + 4000 * k : 30_000 + 4000 * k + count, k] = 1
    given = inject(true, "mislabel", 0.9, np.random.default_rng(0))[:30_000]
    both = given[given[:, :2].sum(axis=1) == 0][:, 2:]
    share = {2: 3 / 6, 3: 2 / 6, 4: 1 / 6}
    for absent in (2, 3, 4):
        first, second = (k for k in (2, 3, 4) if k != absent)
        p = share[first] * share[second] * (1 / (1 - share[first]) + 1 / (1 - share[second]))
        assert (both[:, absent - 2] == 0).mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / len(both)))


def test_images_without_room_keep_their_labels() -> None:
    full = np.ones((50, 4), dtype=np.uint8)
    assert np.array_equal(inject(full, "mislabel", 0.9, np.random.default_rng(0)), full)
    nearly = full.copy()
    nearly[np.arange(50), np.arange(50) % 4] = 0
    given = inject(nearly, "mislabel", 0.9, np.random.default_rng(0))
    assert (given.sum(axis=1) == 3).all()
    assert ((nearly == 1) & (given == 0)).sum(axis=1).max() == 1
    losers = np.bincount(((nearly == 1) & (given == 0)).argmax(axis=1), minlength=4)
    assert (losers > 0).all()


def test_classes_without_a_positive_are_never_drawn() -> None:
    true = np.zeros((500, 4), dtype=np.uint8)
    true[np.arange(500), np.arange(500) % 3] = 1
    assert inject(true, "mislabel", 0.9, np.random.default_rng(0))[:, 3].sum() == 0


def test_rare_free_classes_are_found_where_rejection_gives_up() -> None:
    true = np.zeros((200_000, 3), dtype=np.uint8)
    true[:, 0] = 1
    true[:2, 1:] = [[1, 0], [0, 1]]
    given = inject(true, "mislabel", 0.001, np.random.default_rng(0))
    assert np.array_equal(given.sum(axis=1), true.sum(axis=1))
    assert (given[:, 1:].sum() - 2) == (given[:, 0] == 0).sum() > 100


def test_flips_hit_positives_and_negatives_alike() -> None:
    true = long_tailed()
    rates = measured_rates(true, inject(true, "flip", 0.2, np.random.default_rng(0)))
    for name, among in (("removed_rate", "positives"), ("added_rate", "negatives")):
        assert rates[name] == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / rates[among]))
    assert rates["changed_rate"] == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / true.size))


def test_single_positive_keeps_each_positive_as_often() -> None:
    true = np.tile(np.array([[1, 0, 1, 1], [0, 0, 0, 0]], dtype=np.uint8), (6000, 1))
    given = inject(true, "single-positive", 0.0, np.random.default_rng(0))
    assert (given <= true).all()
    assert (given[::2].sum(axis=1) == 1).all()
    assert given[1::2].sum() == 0
    kept = given.sum(axis=0)[[0, 2, 3]]
    assert ((kept - 2000) ** 2 / 2000).sum() < 13.8  # the 99.9 % quantile at two degrees of freedom


def test_none_is_a_copy() -> None:
    true = long_tailed(100)
    given = inject(true, "none", 0.4, np.random.default_rng(0))
    assert np.array_equal(given, true)
    assert not np.shares_memory(given, true)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 30), st.integers(1, 7), st.floats(0, 0.999), st.integers(0, 10_000))
def test_noise_keeps_its_invariants(kind: str, images: int, classes: int, rate: float, seed: int) -> None:
    true = np.random.default_rng(seed).integers(2, size=(images, classes)).astype(bool)
    before = true.copy()
    matrix = np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), size=classes)
    given = inject(true, kind, rate, np.random.default_rng(seed), matrix)
    assert given.dtype == np.uint8
    assert given.shape == true.shape
    assert set(np.unique(given)) <= {0, 1}
    assert np.array_equal(true, before)
    assert np.array_equal(given, inject(true, kind, rate, np.random.default_rng(seed), matrix))
    if kind in ("mislabel", "class-dependent"):
        assert np.array_equal(given.sum(axis=1), true.sum(axis=1))
    if kind in ("missing", "single-positive"):
        assert (given <= true).all()
    if rate == 0 and kind not in ("single-positive", "class-dependent"):
        assert np.array_equal(given, true)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 30), st.integers(1, 5), st.integers(0, 10_000))
def test_transitions_and_rates_against_a_loop(images: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, noisy = rng.integers(2, size=(2, images, classes))
    counts = np.zeros((classes, 2, 2), dtype=int)
    for n in range(images):
        for k in range(classes):
            counts[k, true[n, k], noisy[n, k]] += 1
    assert np.array_equal(transition(true, noisy), counts)
    rates = measured_rates(true, noisy)
    assert json.loads(json.dumps(rates)) == rates
    assert len(rates["per_class"]) == classes
    for each, block in [(rates, counts.sum(axis=0)), *zip(rates["per_class"], counts, strict=True)]:
        assert (each["positives"], each["negatives"]) == (block[1].sum(), block[0].sum())
        assert (each["removed"], each["added"]) == (block[1, 0], block[0, 1])
        assert each["removed_rate"] == (block[1, 0] / block[1].sum() if block[1].sum() else 0)
        assert each["added_rate"] == (block[0, 1] / block[0].sum() if block[0].sum() else 0)
        assert each["changed_rate"] == (each["changed"] / block.sum() if block.sum() else 0)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.2, float("nan")])
@pytest.mark.parametrize("kind", KINDS)
def test_a_rate_out_of_range_is_refused(kind: str, rate: float) -> None:
    with pytest.raises(InputError, match=rf"noise\.rate: {rate}\n"):
        inject(long_tailed(10), kind, rate, np.random.default_rng(0))


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match='Did you mean "mislabel"'):
        inject(long_tailed(10), "mislable", 0.1, np.random.default_rng(0))


@pytest.mark.parametrize("value", [2.0, -1.0, 0.5, float("nan")])
def test_labels_other_than_0_and_1_are_refused(value: float) -> None:
    labels = np.zeros((4, 3))
    labels[2, 1] = value
    with pytest.raises(InputError, match="labels, row 2, class at index 1"):
        inject(labels, "flip", 0.1, np.random.default_rng(0))


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match="1 dimensions"):
        inject(np.zeros(4), "flip", 0.1, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"shape \(2, 3\)"):
        measured_rates(np.zeros((2, 2)), np.zeros((2, 3)))
