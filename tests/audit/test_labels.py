"""What an audit says of labels whose truth is known: where to look, how many are wrong, and when it cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bmix.audit.arrays import audit_labels
from bmix.audit.labels import flip_rates, true_auc
from bmix.audit.logistic import ScoreCounts, fit_given, fit_present, sigmoid
from bmix.audit.measure import calibration_error, detection, measured
from bmix.audit.shares import wrong_negatives, wrong_positives
from bmix.support.errors import InputError
from tests.helpers.spoilt import spoilt_labels

SPOILT = spoilt_labels(rows=1500)
AUDIT = audit_labels(SPOILT.features, SPOILT.given)


def test_wrong_labels_come_first() -> None:
    found = measured(AUDIT.p_present, AUDIT.quality, SPOILT.given, SPOILT.true)
    assert found["given_positives"]["auc"] > 0.95
    assert found["given_positives"]["precision_at_24"] > 0.9
    assert found["given_negatives"]["auc"] > 0.95
    assert found["given_positives"]["calibration_error"] < 0.05
    assert found["given_negatives"]["calibration_error"] < 0.02


def test_the_share_of_wrong_labels_is_estimated() -> None:
    table = AUDIT.classes
    assert table["judged"].all()
    estimated = (table["wrong_share"] * table["positives"]).sum()
    assert estimated == pytest.approx((SPOILT.true < SPOILT.given).sum(), rel=0.2)
    true_share_K = [(SPOILT.true[SPOILT.given[:, k] == 1, k] == 0).mean() for k in range(6)]
    inside = (table["wrong_share_low"] <= true_share_K) & (true_share_K <= table["wrong_share_high"])
    assert inside.mean() >= 0.8
    clean = audit_labels(SPOILT.features, SPOILT.true).classes
    assert (clean["wrong_share"] * clean["positives"]).sum() < 0.04 * clean["positives"].sum()


def test_nothing_saturates_and_nothing_ties() -> None:
    given_positive = SPOILT.given == 1
    qualities = AUDIT.quality[given_positive]
    assert len(np.unique(qualities)) == len(qualities)
    assert np.isfinite(qualities).all()


def test_features_that_say_nothing_judge_nothing() -> None:
    noise = np.random.default_rng(0).standard_normal((1500, 24)).astype(np.float32)
    audit = audit_labels(noise, SPOILT.given)
    assert not audit.classes["judged"].any()
    assert (audit.p_present == SPOILT.given).all()
    assert np.isfinite(audit.quality).all()


def test_few_positives_judge_nothing_and_harm_no_other_class() -> None:
    given = SPOILT.given.copy()
    given[:, 5] = 0
    given[np.flatnonzero(SPOILT.true[:, 5])[:3], 5] = 1
    given[:, 4] = 1
    audit = audit_labels(SPOILT.features, given)
    assert audit.classes["judged"].tolist() == [True, True, True, True, False, False]
    assert (audit.p_present[:, 4:] == given[:, 4:]).all()


def test_unknown_labels_are_left_out() -> None:
    given = SPOILT.given.copy()
    given[:200, 0] = -1
    audit = audit_labels(SPOILT.features, given)
    assert np.isnan(audit.quality[:200, 0]).all()
    assert np.isfinite(audit.quality[200:]).all()
    assert ((audit.p_present[:200, 0] >= 0) & (audit.p_present[:200, 0] <= 1)).all()
    assert audit.classes["positives"][0] == (given[:, 0] == 1).sum()


def test_equal_input_gives_equal_results_from_tensors_too() -> None:
    again = audit_labels(torch.from_numpy(SPOILT.features[:, None]), torch.from_numpy(SPOILT.given))
    assert np.array_equal(again.quality, AUDIT.quality)
    assert np.array_equal(again.p_present, AUDIT.p_present)


@pytest.mark.parametrize(
    ("features", "given", "folds", "told"),
    [
        (np.zeros((3, 2)), np.zeros((4, 2)), 2, "a row for each instance"),
        (np.zeros((4, 2)), np.full((4, 2), 2), 2, "other than 1, 0 and -1"),
        (np.full((4, 2), np.nan), np.zeros((4, 2)), 2, "not finite"),
        (np.zeros((4, 2)), np.zeros((4, 2)), 5, "5 folds of 4 rows"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(features, given, folds, told) -> None:
    with pytest.raises(InputError, match=told):
        audit_labels(features, given, folds)


def test_flip_rates_lead_back_to_the_shares() -> None:
    counts_K2 = np.array([[800, 200]])
    false_K, lost_K = flip_rates(np.array([0.25]), np.array([0.1]), counts_K2)
    # Of 200 given positives 50 are absent, of 800 given negatives 80 present: 770 absent and 230 present in truth.
    assert false_K[0] == pytest.approx(50 / 770)
    assert lost_K[0] == pytest.approx(80 / 230)


def test_the_area_of_the_truth_is_drawn_to_one_half_by_wrong_labels() -> None:
    rng = np.random.default_rng(0)
    true = rng.random(20000) < 0.3
    score = rng.standard_normal(20000) + 1.5 * true
    given = np.where(rng.random(20000) < np.where(true, 0.1, 0.05), ~true, true)
    wrong, missing = (~true[given]).mean(), true[~given].mean()
    of_given, of_true = (detection(score, labels)["auc"] for labels in (given, true))
    assert true_auc(np.array([of_given]), np.array([wrong]), np.array([missing]))[0] == pytest.approx(of_true, abs=0.01)


def test_shares_come_from_the_tails() -> None:
    rng = np.random.default_rng(0)
    given = np.repeat([1, 0], [400, 1600])[:, None]
    true = np.concatenate([np.repeat([1, 0], [300, 100]), np.zeros(1600)])
    scores = (rng.standard_normal(2000) + 5 * true)[:, None]
    shares = wrong_positives(scores, given)
    assert shares.wrong_K[0] == pytest.approx(0.25, abs=0.05)
    assert shares.low_K[0] < 0.25 < shares.high_K[0]
    assert wrong_negatives(scores, given).wrong_K[0] < 0.02


def test_the_latent_truth_gives_back_the_curve_behind_spoilt_labels() -> None:
    rng = np.random.default_rng(0)
    score = rng.standard_normal(40000)
    true = rng.random(40000) < sigmoid(2 * score - 1)
    given = np.where(rng.random(40000) < np.where(true, 0.2, 0.1), ~true, true)
    counts = ScoreCounts.of(score[:, None], given[:, None].astype(int))
    slope, intercept = fit_present(counts, np.array([0.1]), np.array([0.2]))[0]
    assert slope * counts.scale_K[0] == pytest.approx(2, abs=0.15)
    assert intercept - slope * counts.scale_K[0] * counts.mean_K[0] == pytest.approx(-1, abs=0.1)
    assert fit_given(counts)[0, 0] < slope


def test_measures_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(0)
    badness, wrong = rng.standard_normal(300), rng.random(300) < 0.2
    found = detection(badness, wrong)
    assert found["auc"] == pytest.approx(roc_auc_score(wrong, badness))
    assert found["average_precision"] == pytest.approx(average_precision_score(wrong, badness))
    assert found["precision_at_24"] == wrong[np.argsort(-badness)[:24]].mean()
    assert found["precision_at_500"] is None
    assert detection(badness, np.zeros(300, bool))["auc"] is None
    assert detection(np.zeros(300), wrong)["auc"] == pytest.approx(0.5)
    assert calibration_error(np.array([0.05, 0.05, 0.95, 0.95]), np.array([0, 0, 1, 0])) == pytest.approx(0.25)
