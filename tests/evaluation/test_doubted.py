from __future__ import annotations

from dataclasses import replace

import numpy as np

from bmix.data.quality import LabelQuality
from bmix.evaluation.doubted import (
    AUDIT,
    VERDICTS,
    doubted_labels,
    doubts_of_audit,
    doubts_of_verdicts,
    found_by_looking,
)
from tests.helpers.evaluation_example import make_example

EVALUATION = make_example(classes=6, images=200).evaluation()
LABELS = EVALUATION.labels


def audit() -> LabelQuality:
    """As the stage audit might judge the labels, the first one ignored, the second one reviewed."""
    rng = np.random.default_rng(0)
    given_NK = LABELS.given_NK.astype(np.int8)
    quality_NK = rng.normal(size=given_NK.shape)
    given_NK[0, 0], quality_NK[0, :2] = -1, np.nan
    return LabelQuality(given_NK, rng.random(given_NK.shape), rng.random(given_NK.shape), quality_NK, {})


def test_the_verdicts_doubt_what_they_call_wrong_and_what_they_add() -> None:
    doubts = doubts_of_verdicts(LABELS)
    assert doubts.judged_by == VERDICTS
    wrong = doubted_labels(LABELS, doubts, given=1, limit=15, true_NK=EVALUATION.true)
    called = LABELS.called_wrong & LABELS.given_NK
    assert len(wrong) == 15
    assert wrong["log_odds"].tolist() == sorted(LABELS.log_odds_NK[called])[:15]
    for label in wrong.to_dict("records"):
        n, k = label["row"], LABELS.classes.index(label["class"])
        assert called[n, k]
        assert label["id"] == LABELS.ids[n]
        assert label["suggested"] == LABELS.refined_NK[n, k]
        assert label["true"] == EVALUATION.true[n, k]
        assert label["others"] == [c for j, c in enumerate(LABELS.classes) if LABELS.given_NK[n, j] and j != k]
        added = LABELS.refined_NK[n] & ~LABELS.given_NK[n]
        surest = min(np.flatnonzero(added), key=lambda j: LABELS.log_odds_NK[n, j], default=None)
        assert label["instead"] == ("" if surest is None else LABELS.classes[surest])
    missing = doubted_labels(LABELS, doubts, given=0, limit=10_000)
    assert len(missing) == (LABELS.refined_NK & ~LABELS.given_NK).sum()
    assert set(missing["suggested"]) == {1}
    assert set(missing["instead"]) == {""}
    assert missing["true"].isna().all()


def test_an_ignored_cell_is_never_listed() -> None:
    missing_NK = LABELS.refined_NK & ~LABELS.given_NK
    ignored_NK = missing_NK & (np.random.default_rng(0).random(missing_NK.shape) < 0.5)
    labels = replace(LABELS, ignored_NK=ignored_NK)
    listed = doubted_labels(labels, doubts_of_verdicts(labels), given=0, limit=10_000)
    assert len(listed) == (missing_NK & ~ignored_NK).sum()
    assert not ignored_NK[listed["row"], [labels.classes.index(name) for name in listed["class"]]].any()


def test_the_audit_doubts_what_is_likelier_wrong() -> None:
    audited = audit()
    doubts = doubts_of_audit(audited)
    assert doubts.judged_by == AUDIT
    for given in (0, 1):
        here = (audited.given_NK == given) & ((audited.p_present_NK > 0.5) != bool(given))
        listed = doubted_labels(LABELS, doubts, given, 10_000)
        expected = audited.quality_NK[here & ~np.isnan(audited.quality_NK)]
        assert listed["log_odds"].tolist() == sorted(expected)


def test_found_by_looking_counts_the_wrong_ones_in_their_order() -> None:
    assert EVALUATION.true is not None
    curve = found_by_looking(LABELS, doubts_of_verdicts(LABELS), EVALUATION.true, points=10_000)
    ranked = ~np.isnan(LABELS.log_odds_NK)
    wrong = (EVALUATION.true != LABELS.given_NK)[ranked][np.argsort(LABELS.log_odds_NK[ranked], kind="stable")]
    assert curve.looked_at.tolist() == list(range(len(wrong) + 1))
    assert curve.found.tolist() == [int(wrong[:count].sum()) for count in range(len(wrong) + 1)]
