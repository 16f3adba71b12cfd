from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from bmix.evaluation import verdicts as scores
from bmix.evaluation.verdicts import LabelVerdicts
from bmix.support.errors import InputError

IMAGES, CLASSES = 80, ["ant", "bee", "cow", "dog"]


def make(seed: int) -> tuple[LabelVerdicts, np.ndarray]:
    """Random verdicts that keep to the contract, with p_clean in coarse steps so that there are ties."""
    rng = np.random.default_rng(seed)
    shape = (IMAGES, len(CLASSES))
    true = rng.random(shape) < 0.4
    given_NK = true ^ (rng.random(shape) < 0.25)
    verdict = rng.choice(3, shape, p=[0.6, 0.2, 0.2]).astype(np.uint8)
    refined = np.where(verdict == 1, rng.random(shape) < 0.5, given_NK)
    p_clean = np.where(verdict == 0, rng.choice([0.6, 0.8, 1.0], shape), rng.choice([0.0, 0.1, 0.4], shape))
    p_clean[(verdict == 0) & ~given_NK] = np.nan
    ids, log_odds = [f"i{n}" for n in range(IMAGES)], np.clip(logit(p_clean), -1e6, 1e6)
    return LabelVerdicts(ids, CLASSES, given_NK, refined, verdict, p_clean, log_odds), true


def as_rows(labels: LabelVerdicts) -> pd.DataFrame:
    rows = [
        (
            labels.ids[n],
            labels.classes[k],
            int(labels.given_NK[n, k]),
            labels.p_clean_NK[n, k],
            labels.log_odds_NK[n, k],
            scores.VERDICTS[labels.verdict_NK[n, k]],
            int(labels.refined_NK[n, k]),
            1.0,
        )
        for n, k in product(range(IMAGES), range(len(CLASSES)))
        if labels.given_NK[n, k] or labels.verdict_NK[n, k] != 0
    ]
    return pd.DataFrame(rows, columns=["id", "class", "given", "p_clean", "log_odds", "verdict", "label", "weight"])


def cells(labels: LabelVerdicts, true: np.ndarray, among: str) -> list[tuple[int, int]]:
    wanted = {"all": (0, 1), "positives": (1,), "negatives": (0,)}[among]
    return [(n, k) for n, k in np.ndindex(true.shape) if int(labels.given_NK[n, k]) in wanted]


def leave_out(labels: LabelVerdicts, seed: int) -> LabelVerdicts:
    """The same verdicts, with ignored cells among the given negatives."""
    ignored_NK = (np.random.default_rng(seed).random(labels.given_NK.shape) < 0.2) & ~labels.given_NK
    return replace(labels, ignored_NK=ignored_NK)


def test_no_table_counts_an_ignored_cell() -> None:
    labels, true = make(3)
    with_ignored = leave_out(labels, 4)
    ignored_NK = with_ignored.ignored_NK
    assert ignored_NK is not None
    assert (labels.refined_NK & ignored_NK).any()
    counts = scores.count_labels(with_ignored, true)
    expected = np.zeros_like(counts)
    for n, k in np.argwhere(~ignored_NK):
        cell = (true[n, k], labels.given_NK[n, k], labels.verdict_NK[n, k], labels.refined_NK[n, k])
        expected[(k, *map(int, cell))] += 1
    np.testing.assert_array_equal(counts, expected)
    assert scores.verdict_shares(with_ignored)["labels"].sum() == (~ignored_NK).sum()


def test_rows_become_matrices() -> None:
    labels, _ = make(0)
    placed = scores.place_verdicts(as_rows(labels).sample(frac=1, random_state=0), labels.ids, CLASSES, labels.given_NK)
    for name in ("given_NK", "refined_NK", "verdict_NK", "p_clean_NK"):
        np.testing.assert_array_equal(getattr(placed, name), getattr(labels, name))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("id", "nobody", '"nobody" is no image id of the training split'),
        ("class", "eel", '"eel" is no class'),
        ("verdict", "perhaps", '"perhaps" is no verdict'),
        ("given", 0, "another given value than labels.parquet"),
        ("label", 0, "another value without being relabelled"),
    ],
)
def test_rows_that_contradict_the_labels_are_refused(column: str, value: object, message: str) -> None:
    labels, _ = make(0)
    rows = as_rows(labels)
    rows = rows[(rows["given"] == 1) & (rows["verdict"] == "clean")].head(1).reset_index(drop=True)
    given_NK = labels.given_NK & False
    given_NK[labels.ids.index(rows["id"][0]), CLASSES.index(rows["class"][0])] = True
    assert scores.place_verdicts(rows, labels.ids, CLASSES, given_NK).given_NK.sum() == 1
    with pytest.raises(InputError, match=message):
        scores.place_verdicts(rows.assign(**{column: value}), labels.ids, CLASSES, given_NK)
    with pytest.raises(InputError, match="two rows for one label"):
        scores.place_verdicts(pd.concat([rows, rows]), labels.ids, CLASSES, given_NK)
    with pytest.raises(InputError, match='no row for the given positive id "i'):
        scores.place_verdicts(rows.head(0), labels.ids, CLASSES, given_NK)


@pytest.mark.parametrize("seed", range(3))
def test_detection_equals_a_loop_over_labels(seed: int) -> None:
    labels, true = make(seed)
    table = scores.detection_scores(scores.count_labels(labels, true)).set_index(["criterion", "among"])
    for criterion, among in table.index:
        called, wrong = [], []
        for n, k in cells(labels, true, among):
            verdict, kept = labels.verdict_NK[n, k], labels.refined_NK[n, k] == labels.given_NK[n, k]
            vouched = verdict == 1 and kept
            called.append(verdict != 0 and not (vouched and criterion == "called wrong"))
            wrong.append(labels.given_NK[n, k] != true[n, k])
        row = table.loc[(criterion, among)]
        assert row["precision"] == pytest.approx(precision_score(wrong, called))
        assert row["recall"] == pytest.approx(recall_score(wrong, called))
        assert row["f1"] == pytest.approx(f1_score(wrong, called))
        assert row["labels"] == len(wrong)


@pytest.mark.parametrize("seed", range(3))
def test_repair_equals_a_loop_over_labels(seed: int) -> None:
    labels, true = make(seed)
    table = scores.repair_scores(scores.count_labels(labels, true)).set_index("among")
    for among in table.index:
        there = cells(labels, true, among)
        wrong = [cell for cell in there if labels.given_NK[cell] != true[cell]]
        right = [cell for cell in there if labels.given_NK[cell] == true[cell]]
        repaired = sum(labels.refined_NK[cell] == true[cell] for cell in wrong)
        broken = sum(labels.refined_NK[cell] != true[cell] for cell in right)
        row = table.loc[among]
        assert (row["wrong"], row["repaired"], row["broken"]) == (len(wrong), repaired, broken)
        assert row["repaired_share"] == pytest.approx(repaired / len(wrong))
        assert row["broken_share"] == pytest.approx(broken / len(right))
        assert row["wrong_before"] == pytest.approx(len(wrong) / len(there))
        assert row["wrong_after"] == pytest.approx((len(wrong) - repaired + broken) / len(there))


def test_nothing_wrong_gives_no_recall_and_no_error() -> None:
    labels, _ = make(0)
    counts = scores.count_labels(labels, labels.given_NK)
    detection = scores.detection_scores(counts)
    assert detection["recall"].isna().all()
    assert (detection["precision"] == 0).all()
    assert scores.repair_scores(counts)["repaired_share"].isna().all()
    assert np.isnan(list(scores.ranking_scores(labels, labels.given_NK).values())).all()


@pytest.mark.parametrize("seed", range(3))
def test_ranking_equals_scikit_learn(seed: int) -> None:
    labels, true = make(seed)
    positives = labels.given_NK
    doubt, wrong = 1 - labels.p_clean_NK[positives], ~true[positives]
    ranking = scores.ranking_scores(labels, true)
    assert ranking["average_precision"] == pytest.approx(average_precision_score(wrong, doubt), abs=1e-12)
    assert ranking["roc_auc"] == pytest.approx(roc_auc_score(wrong, doubt), abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_label_is_counted_once(seed: int) -> None:
    labels, true = make(seed)
    counts = scores.count_labels(labels, true)
    transitions = scores.transition_counts(counts, CLASSES)
    assert counts.sum() == transitions["count"].sum() == scores.outcome_counts(counts).sum() == true.size
    for row in transitions.itertuples():
        k = CLASSES.index(row[1])
        here = (
            (true[:, k] == row.true) & (labels.given_NK[:, k] == row.given) & (labels.refined_NK[:, k] == row.refined)
        )
        assert row[5] == here.sum()
    shares = scores.verdict_shares(labels)
    np.testing.assert_allclose(shares[scores.VERDICTS].sum(axis=1), 1)


def test_outcomes_equal_a_loop_over_labels() -> None:
    labels, true = make(4)
    expected = np.zeros((len(CLASSES), 2, 2, 3), int)
    for n, k in np.ndindex(true.shape):
        ends_right = labels.refined_NK[n, k] == true[n, k]
        outcome = 1 if labels.verdict_NK[n, k] == 2 else 0 if ends_right else 2
        expected[k, int(true[n, k]), int(labels.given_NK[n, k]), outcome] += 1
    np.testing.assert_array_equal(scores.outcome_counts(scores.count_labels(labels, true)), expected)


def test_verdict_shares_equal_a_loop_over_labels() -> None:
    labels, _ = make(5)
    for row in scores.verdict_shares(labels).itertuples():
        k = CLASSES.index(row[1])
        here = labels.given_NK[:, k] == row.given
        assert row.labels == here.sum()
        assert row.ambiguous == pytest.approx((labels.verdict_NK[here, k] == 2).mean())
        assert row.changed == pytest.approx((labels.refined_NK[here, k] != bool(row.given)).mean())


def test_moves_share_a_wrong_positive_among_the_lost_classes() -> None:
    true = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]])
    given_NK = np.array([[0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 0, 0]])
    np.testing.assert_array_equal(scores.mislabelling_moves(given_NK, true), [[0, 1, 0.5], [0, 0, 0.5], [0, 0, 0]])


def test_the_order_does_not_saturate() -> None:
    labels, true = make(8)
    doubt = np.random.default_rng(0).normal(size=true.shape)
    sure = replace(labels, p_clean_NK=np.zeros(true.shape), log_odds_NK=-700 - doubt)
    wrong = ~true[labels.given_NK]
    expected = roc_auc_score(wrong, doubt[labels.given_NK])
    assert scores.ranking_scores(sure, true)["roc_auc"] == pytest.approx(expected)
