"""Out-of-fold ridge scores against scikit-learn, fold by fold, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from bmix.audit.folds import stratified_folds
from bmix.audit.ridge import area_under_curve, blocks_of, out_of_fold_scores
from tests.helpers.spoilt import spoilt_labels

SPOILT = spoilt_labels(rows=400)
FOLD_N = stratified_folds(SPOILT.given, 5, np.random.default_rng(1))


def slow_scores(features: np.ndarray, given: np.ndarray, fold_N: np.ndarray, strength: float) -> np.ndarray:
    """A ridge regression per fold and class, the penalty a multiple of the mean variance of the training rows."""
    features = StandardScaler().fit_transform(features.astype(np.float64))
    scores = np.zeros(given.shape)
    for fold in range(fold_N.max() + 1):
        train, test = features[fold_N != fold], features[fold_N == fold]
        penalty = strength * train.var(axis=0).mean() * len(train)
        for k in range(given.shape[1]):
            model = Ridge(alpha=penalty).fit(train, given[fold_N != fold, k])
            scores[fold_N == fold, k] = model.predict(test)
    return scores


@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_scores_are_those_of_a_regression_per_fold_and_class(strength: float) -> None:
    found = out_of_fold_scores(blocks_of(SPOILT.features), SPOILT.given, FOLD_N, (strength,))
    expected = slow_scores(SPOILT.features, SPOILT.given, FOLD_N, strength)
    assert np.abs(found.scores_NK - expected).max() < 1e-4
    assert (found.strength_K == strength).all()


def test_areas_are_those_of_scikit_learn_and_choose_the_penalty() -> None:
    strengths = (1e-3, 1.0, 1e3)
    found = out_of_fold_scores(blocks_of(SPOILT.features), SPOILT.given, FOLD_N, strengths)
    for k, area in enumerate(found.auc_K):
        # The areas come from histograms, where near scores are equal.
        assert area == pytest.approx(roc_auc_score(SPOILT.given[:, k], found.scores_NK[:, k]), abs=5e-3)
    of_each = [out_of_fold_scores(blocks_of(SPOILT.features), SPOILT.given, FOLD_N, (s,)).auc_K for s in strengths]
    assert set(found.strength_K) <= set(strengths)
    assert found.auc_K.mean() >= np.mean(of_each, axis=1).max() - 5e-3


def test_a_row_has_no_say_in_its_own_score() -> None:
    fixed = (0.1,)
    before = out_of_fold_scores(blocks_of(SPOILT.features), SPOILT.given, FOLD_N, fixed).scores_NK
    turned = SPOILT.given.copy()
    turned[7] = 1 - turned[7]
    after = out_of_fold_scores(blocks_of(SPOILT.features), turned, FOLD_N, fixed).scores_NK
    same_fold = FOLD_N[7] == FOLD_N
    assert np.allclose(before[same_fold], after[same_fold], atol=1e-5)
    assert np.abs(before - after)[~same_fold].max() > 1e-4


def test_an_unknown_label_pulls_nowhere_and_constant_features_count_nothing() -> None:
    features = np.concatenate([SPOILT.features, np.full((400, 2), 3.0, np.float32)], axis=1)
    found = out_of_fold_scores(blocks_of(features), SPOILT.given, FOLD_N, (0.1,)).scores_NK
    bare = out_of_fold_scores(blocks_of(SPOILT.features), SPOILT.given, FOLD_N, (0.1,)).scores_NK
    # Two more directions without variance lower the mean variance that the penalty is measured by.
    assert np.corrcoef(found.ravel(), bare.ravel())[0, 1] > 0.999
    unknown = SPOILT.given.copy()
    unknown[::2, 0] = -1
    partly = out_of_fold_scores(blocks_of(SPOILT.features), unknown, FOLD_N, (0.1,))
    assert np.isfinite(partly.scores_NK).all()
    assert partly.auc_K[0] > 0.8


def test_other_rows_are_scored_by_the_mean_of_the_models() -> None:
    found = out_of_fold_scores(blocks_of(SPOILT.features), SPOILT.given, FOLD_N, (0.1,))
    others = spoilt_labels(rows=50, seed=3).features
    models = []
    for fold in range(5):
        scale = StandardScaler().fit(SPOILT.features.astype(np.float64))
        train = scale.transform(SPOILT.features)[fold != FOLD_N]
        penalty = 0.1 * train.var(axis=0).mean() * len(train)
        models.append(Ridge(alpha=penalty).fit(train, SPOILT.given[fold != FOLD_N]).predict(scale.transform(others)))
    assert np.abs(found.of_others(others) - np.mean(models, axis=0)).max() < 1e-4


def test_the_area_of_histograms_is_that_of_their_pairs() -> None:
    rng = np.random.default_rng(0)
    negatives, positives = rng.integers(0, 4, (2, 3, 6))
    for row in range(3):
        scores = np.repeat(np.arange(6), negatives[row]), np.repeat(np.arange(6), positives[row])
        wins = [(p > n) + (p == n) / 2 for n in scores[0] for p in scores[1]]
        assert area_under_curve(negatives, positives)[row] == pytest.approx(np.mean(wins))
    assert np.isnan(area_under_curve(np.zeros(6), positives[0]))
