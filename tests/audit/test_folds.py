"""Folds: every class spread evenly, groups whole, copies found."""

from __future__ import annotations

import numpy as np
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from bmix.audit.arrays import audit_labels
from bmix.audit.duplicates import copies, near_duplicates
from bmix.audit.folds import stratified_folds
from tests.helpers.spoilt import spoilt_labels


def test_every_class_and_all_rows_are_spread_evenly() -> None:
    given = spoilt_labels(rows=603, classes=8).given
    fold_N = stratified_folds(given, 5, np.random.default_rng(0))
    for k in range(8):
        share_F = np.bincount(fold_N[given[:, k] == 1], minlength=5) / given[:, k].sum()
        assert np.abs(share_F - 0.2).max() < 0.1
    sizes_F = np.bincount(fold_N)
    assert sizes_F.min() >= 90
    assert len(sizes_F) == 5


@settings(max_examples=25, deadline=None)
@examples(st.integers(0, 2**32 - 1), st.integers(2, 7))
def test_a_group_lies_in_one_fold(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    given = (rng.random((60, 3)) < 0.3).astype(np.int8)
    groups_N = rng.integers(0, 25, 60)
    fold_N = stratified_folds(given, count, rng, groups_N)
    assert ((fold_N >= 0) & (fold_N < count)).all()
    for group in np.unique(groups_N):
        assert len(set(fold_N[groups_N == group])) == 1


def test_copies_share_a_group_and_others_do_not() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((500, 40)).astype(np.float32)
    features[100:120] = features[:20] + 0.01 * rng.standard_normal((20, 40)).astype(np.float32)
    features[300] = 0
    groups_N = near_duplicates(features, 0.98, np.random.default_rng(1))
    assert (groups_N[100:120] == groups_N[:20]).all()
    assert len(set(groups_N)) == 480


def test_likeness_of_most_rows_tells_no_copies() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((400, 3)).astype(np.float32)
    features[200:210] = features[:10]
    assert np.bincount(near_duplicates(features, 0.98, np.random.default_rng(1))).max() > 40
    groups_N = copies(features, 0.98, 40, np.random.default_rng(1))
    assert (groups_N[200:210] == groups_N[:10]).all()
    assert len(set(groups_N)) == 390


def test_a_few_features_are_audited_as_well_as_many() -> None:
    rng = np.random.default_rng(0)
    true = rng.random((1000, 2)) < 0.4
    features = (true @ np.array([[2.0, 0, 1], [0, 2.0, -1]]) + 0.4 * rng.standard_normal((1000, 3))).astype(np.float32)
    wrong = rng.random(true.shape) < 0.05
    audit = audit_labels(features, true ^ wrong)
    assert audit.classes["judged"].all()
    first = audit.quality.ravel().argsort()[:50]
    assert wrong.ravel()[first].mean() > 0.9
