from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.noise import KINDS, inject, measured_rates, transition
from bmix.support.errors import InputError


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
@given(st.sampled_from(list(KINDS)), st.integers(0, 30), st.integers(1, 7), st.floats(0, 0.999), st.integers(0, 10_000))
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


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 30), st.integers(1, 5), st.integers(0, 10_000))
def test_ignored_cells_count_nowhere(images: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, noisy, ignored = rng.integers(2, size=(3, images, classes), dtype=np.uint8)
    counts = np.zeros((classes, 2, 2), dtype=int)
    for n in range(images):
        for k in range(classes):
            counts[k, true[n, k], noisy[n, k]] += 1 - ignored[n, k]
    assert np.array_equal(transition(true, noisy, ignored.astype(bool)), counts)
    assert measured_rates(true, noisy, ignored.astype(bool))["negatives"] == counts[:, 0].sum()


def test_counts_do_not_depend_on_the_size_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    true = long_tailed(500)
    noisy, ignored = inject(true, "flip", 0.3, np.random.default_rng(0)), long_tailed(500, seed=1) == 1
    whole = transition(true, noisy, ignored)
    monkeypatch.setattr("bmix.noise.measure._LABELS_AT_ONCE", 100)
    assert np.array_equal(transition(true, noisy, ignored), whole)
    wrong = true.astype(int)
    wrong[321, 5] = 7
    with pytest.raises(InputError, match="labels, row 321, class at index 5: 7"):
        inject(wrong, "flip", 0.3, np.random.default_rng(0))


@pytest.mark.parametrize("rate", [0.0005, 0.25, 0.4, 0.9985])
def test_flips_are_independent_of_their_place(rate: float) -> None:
    true = np.zeros((40_000, 9), dtype=np.uint8)
    given = inject(true, "flip", rate, np.random.default_rng(0))
    cells = given.reshape(-1).astype(float)
    for share, size in ((cells.mean(), cells.size), *((column.mean(), len(column)) for column in given.T)):
        assert share == pytest.approx(rate, abs=4.5 * np.sqrt(rate * (1 - rate) / size))
    for lag in (1, 8, 9):
        both = (cells[lag:] * cells[:-lag]).mean()
        assert both == pytest.approx(rate**2, abs=4.5 * rate * np.sqrt((1 - rate**2) / cells.size) + 1e-4)


def test_missing_drops_each_positive_at_the_rate_and_adds_none() -> None:
    true = long_tailed()
    rates = measured_rates(true, inject(true, "missing", 0.3, np.random.default_rng(0)))
    assert rates["added"] == 0
    for each in (rates, *rates["per_class"]):
        assert each["removed_rate"] == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / each["positives"]))


def by_image(true: np.ndarray, kind: str, rate: float, rng: np.random.Generator, matrix: np.ndarray) -> np.ndarray:
    positives, given = true.sum(axis=0), true.copy()
    for n in range(len(true)):
        present = rng.permutation(np.flatnonzero(true[n]))
        if kind == "single-positive" and len(present):
            given[n] = 0
            given[n, present[0]] = 1
        if kind == "flip":
            given[n] = [1 - value if rng.random() < rate else value for value in true[n]]
        for i in present if kind in ("missing", "mislabel", "class-dependent") else ():
            if rng.random() >= (1 - matrix[i, i] if kind == "class-dependent" else rate):
                continue
            if kind != "missing":
                row = matrix[i] if kind == "class-dependent" else positives
                weights = [0 if true[n, j] or given[n, j] else row[j] for j in range(true.shape[1])]
                if sum(weights) == 0:
                    continue
                given[n, rng.choice(true.shape[1], p=np.array(weights) / sum(weights))] = 1
            given[n, i] = 0
    return given


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_noise_is_distributed_as_a_loop_over_the_images_makes_it(kind: str) -> None:
    rng = np.random.default_rng(7)
    patterns = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0]], dtype=np.uint8)
    true = np.tile(patterns, (1500, 1))
    matrix = np.array([[0.5, 0.3, 0.2, 0], [0.1, 0.4, 0, 0.5], [0, 0.5, 0.5, 0], [0.25, 0.25, 0.25, 0.25]])
    slow = by_image(true, kind, 0.4, rng, matrix)
    ours = inject(np.tile(true, (10, 1)), kind, 0.4, rng, matrix)
    outcome = 1 << np.arange(4)
    for pattern in range(len(patterns)):
        seen, expected = (np.bincount(given[pattern::5] @ outcome, minlength=16) for given in (ours, slow))
        share = (seen + expected) / (seen + expected).sum()
        variance = share * (1 - share) * (1 / seen.sum() + 1 / expected.sum())
        apart = np.abs(seen / seen.sum() - expected / expected.sum())
        assert (apart <= 4.5 * np.sqrt(variance)).all()


def test_a_class_turns_into_what_its_row_says_by_chi_square() -> None:
    label = np.random.default_rng(0).integers(3, size=30_000)
    matrix = np.array([[0.6, 0.3, 0.1], [0, 1, 0], [0.2, 0.7, 0.1]])
    given = inject(np.eye(3, dtype=np.uint8)[label], "class-dependent", 0.0, np.random.default_rng(1), matrix)
    moved = np.zeros((3, 3))
    np.add.at(moved, (label, given.argmax(axis=1)), 1)
    expected = np.bincount(label)[:, None] * matrix
    assert (moved[expected == 0] == 0).all()
    some = expected > 0
    assert ((moved[some] - expected[some]) ** 2 / expected[some]).sum() < 18.5  # 99.9 %, four degrees of freedom


def test_a_label_stays_where_its_row_leaves_no_free_class() -> None:
    true = np.tile(np.array([[1, 1, 0]], dtype=np.uint8), (400, 1))
    matrix = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 1.0]])
    given = inject(true, "class-dependent", 0.0, np.random.default_rng(0), matrix)
    assert (given == [1, 0, 1]).all()
    swap = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 1.0]])
    first = inject(true, "class-dependent", 0.0, np.random.default_rng(0), swap)
    assert (first[:, 2] == 1).all()
    assert (first.sum(axis=1) == 2).all()
    assert first[:, 0].mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (None, "noise matrix: None"),
        (np.eye(2), r"shape \(2, 2\)"),
        (np.full((3, 3), 0.5), "row 0: the shares sum to 1.5"),
        (np.array([[1, 0, 0], [0, 1, 0], [-0.5, 0.5, 1]]), "row 2, column 0: -0.5"),
        (np.where(np.eye(3) == 1, np.nan, 0), "row 0, column 0: nan"),
    ],
)
def test_a_matrix_that_is_no_transition_is_refused(matrix: np.ndarray | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        inject(long_tailed(10, 3), "class-dependent", 0.0, np.random.default_rng(0), matrix)


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


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.uint8, torch.bool]
)
def test_tensors_count_as_arrays_and_stay_as_they_are(dtype: torch.dtype) -> None:
    labels_NK = long_tailed(200, 4)
    tensor_NK = torch.from_numpy(labels_NK).to(dtype)
    passed_NK = tensor_NK.clone().requires_grad_(dtype.is_floating_point)
    matrix_KK = np.full((4, 4), 0.25)
    for kind in KINDS:
        found, expected = (
            inject(each, kind, 0.3, np.random.default_rng(0), matrix_KK) for each in (passed_NK, labels_NK)
        )
        assert np.array_equal(found, expected), kind
    assert torch.equal(passed_NK.detach(), tensor_NK)
    ignored_NK = torch.zeros(200, 4, dtype=torch.bool)
    assert np.array_equal(transition(passed_NK, passed_NK, ignored_NK), transition(labels_NK, labels_NK))


def test_a_bfloat16_label_other_than_0_and_1_is_refused() -> None:
    with pytest.raises(InputError, match=r"row 0, class at index 1: 0\.5"):
        inject(torch.tensor([[1, 0.5]], dtype=torch.bfloat16), "flip", 0.3, np.random.default_rng(0))
