from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bmix.randomness import numpy_generator
from bmix.sources.stratify import SHARES, stratified_splits

LABELS = st.integers(1, 40).flatmap(
    lambda n: st.integers(1, 6).flatmap(lambda k: arrays(np.uint8, (n, k), elements=st.integers(0, 1)))
)


def long_tailed(count: int, classes: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((count, classes)) < 0.5 * 0.75 ** np.arange(classes)).astype(np.uint8)


def splits_of(labels: np.ndarray, seed: int) -> np.ndarray:
    rows, columns = np.nonzero(labels)
    return stratified_splits(rows, columns, (len(labels), labels.shape[1]), seed)


def split_by_split(labels: np.ndarray, seed: int) -> np.ndarray:
    """The paper's algorithm on whole columns, without the mending of gaps."""
    count, classes = labels.shape
    shares = np.array(list(SHARES.values()))
    rng = numpy_generator(seed, "splits")
    order, tie = rng.permutation(count), rng.random((count, len(shares)))
    splits = np.full(count, -1)
    wanted, wanted_of = shares * count, shares[:, None] * labels.sum(0)
    while (splits < 0).any():
        left = labels[splits < 0].sum(0)
        rarest = min((int(left[column]), column) for column in range(classes) if left[column])[1] if left.any() else -1
        for image in order:
            if splits[image] >= 0 or (rarest >= 0 and not labels[image, rarest]):
                continue
            wish = wanted if rarest < 0 else wanted_of[:, rarest]
            splits[image] = max(range(3), key=lambda s: (wish[s].round(6), wanted[s].round(6), tie[image, s]))
            wanted[splits[image]] -= 1
            wanted_of[splits[image]] -= labels[image]
    return np.array(list(SHARES), dtype=object)[splits]


def test_images_are_dealt_out_as_the_paper_does() -> None:
    for seed in range(20):
        # So many of each class that no split lacks one.
        labels = long_tailed(300, 4, seed)
        assert (splits_of(labels, seed) == split_by_split(labels, seed)).all()


def test_each_split_has_its_share_of_images_and_of_every_class() -> None:
    labels = long_tailed(4000, 12, 0)
    splits = splits_of(labels, 0)
    for name, share in SHARES.items():
        chosen = splits == name
        assert chosen.mean() == pytest.approx(share, abs=0.005)
        wanted = share * labels.sum(0)
        assert (np.abs(labels[chosen].sum(0) - wanted) <= np.maximum(2, 0.03 * wanted)).all()


def test_equal_seeds_give_equal_splits_and_others_do_not() -> None:
    labels = long_tailed(200, 5, 1)
    assert (splits_of(labels, 3) == splits_of(labels, 3)).all()
    assert (splits_of(labels, 3) != splits_of(labels, 4)).any()


@settings(max_examples=60, deadline=None)
@given(LABELS, st.integers(0, 5))
def test_every_class_is_in_train(labels: np.ndarray, seed: int) -> None:
    splits = splits_of(labels, seed)
    assert set(splits) <= set(SHARES)
    assert (labels[splits == "train"].any(0) == labels.any(0)).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(0, 5))
def test_a_class_of_three_images_is_in_every_split(columns: list[int], seed: int) -> None:
    labels = np.eye(6, dtype=np.uint8)[columns]
    splits = splits_of(labels, seed)
    for column in np.flatnonzero(labels.sum(0) >= 3):
        assert set(splits[labels[:, column] == 1]) == set(SHARES)


def test_rare_classes_that_share_images_are_spread() -> None:
    labels = np.zeros((300, 3), np.uint8)
    labels[:, 0] = 1
    labels[:3, 1] = 1
    labels[1:5, 2] = 1
    for seed in range(20):
        splits = splits_of(labels, seed)
        assert all(labels[splits == name].any(0).all() for name in SHARES)


def test_images_without_labels_are_shared_out_too() -> None:
    splits = splits_of(np.zeros((100, 2), np.uint8), 0)
    assert {name: int((splits == name).sum()) for name in SHARES} == {"train": 70, "val": 10, "test": 20}
