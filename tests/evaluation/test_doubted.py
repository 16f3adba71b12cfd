from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bmix.evaluation.doubted import (
    AUDIT,
    VERDICTS,
    doubted_labels,
    doubts_of_verdicts,
    found_by_looking,
    read_doubts,
)
from bmix.support.errors import InputError
from tests.helpers.evaluation_example import make_example

EVALUATION = make_example(classes=6, images=200).evaluation()
LABELS = EVALUATION.labels


def audit_table() -> pd.DataFrame:
    """As the stage audit writes it, of two splits."""
    rng = np.random.default_rng(0)
    size = LABELS.given_NK.size
    train = pd.DataFrame(
        {
            "split": "train",
            "given": LABELS.given_NK.ravel().astype(np.int8),
            "p_present": rng.random(size),
            "quality": rng.normal(size=size),
        }
    )
    train.loc[0, ["given", "quality"]] = -1, np.nan
    return pd.concat([train.assign(split="val").head(6), train], ignore_index=True)


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


def test_the_audit_doubts_what_is_likelier_wrong(tmp_path: Path) -> None:
    table = audit_table()
    table.to_parquet(tmp_path / "q.parquet")
    doubts = read_doubts(tmp_path / "q.parquet", LABELS)
    assert doubts is not None
    assert doubts.judged_by == AUDIT
    train = table[table["split"] == "train"]
    for given in (0, 1):
        here = train[(train["given"] == given) & ((train["p_present"] > 0.5) != bool(given))]
        listed = doubted_labels(LABELS, doubts, given, 10_000)
        assert listed["log_odds"].tolist() == sorted(here["quality"])


def test_no_audit_is_none_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "label_quality.parquet"
    table = audit_table()
    table.iloc[:0].to_parquet(path)
    assert read_doubts(path, LABELS) is None
    table.iloc[:-1].to_parquet(path)
    with pytest.raises(InputError, match=r"judges other labels than the run has(.|\n)*dvc repro audit"):
        read_doubts(path, LABELS)
    table.assign(given=1 - table["given"].clip(lower=0)).to_parquet(path)
    with pytest.raises(InputError, match="judges other labels"):
        read_doubts(path, LABELS)
    path.write_bytes(b"no table")
    with pytest.raises(InputError, match="not readable"):
        read_doubts(path, LABELS)


def test_found_by_looking_counts_the_wrong_ones_in_their_order() -> None:
    assert EVALUATION.true is not None
    table = found_by_looking(LABELS, doubts_of_verdicts(LABELS), EVALUATION.true, points=10_000)
    ranked = ~np.isnan(LABELS.log_odds_NK)
    wrong = (EVALUATION.true != LABELS.given_NK)[ranked][np.argsort(LABELS.log_odds_NK[ranked], kind="stable")]
    assert table["looked_at"].tolist() == list(range(len(wrong) + 1))
    assert table["found"].tolist() == [int(wrong[:count].sum()) for count in range(len(wrong) + 1)]
