"""What the order is worth: measured where the truth is known, estimated with an interval where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bmix.cli import labels as command
from bmix.data.quality import read_quality
from bmix.evaluation.looking import cannot_tell, worth_of_audit
from bmix.labels.scored import read_scored
from bmix.labels.worth import estimated_worth, found_curve, is_wrong, measured_worth, shifted
from tests.helpers.labelled import CLASSES, SPOILT, write_audited


def test_the_curve_counts_what_a_slow_loop_counts() -> None:
    rng = np.random.default_rng(0)
    quality, wrong = rng.standard_normal(57), rng.random(57) < 0.3
    curve = found_curve(quality, wrong, points=57)
    order = np.argsort(quality)
    for looked_at, found in zip(curve.looked_at, curve.found, strict=True):
        assert found == sum(wrong[i] for i in order[:looked_at])
    needed = curve.looks_for(0.9)
    assert sum(wrong[order[:needed]]) >= 0.9 * wrong.sum() > sum(wrong[order[: needed - 1]])


def test_shifted_probabilities_keep_their_order_and_have_the_mean() -> None:
    probability = np.array([0.0, 0.01, 0.3, 0.9, 1.0])
    for mean in (0.02, 0.4, 0.9):
        moved = shifted(probability, mean)
        assert moved.mean() == pytest.approx(mean, abs=1e-6)
        assert (np.diff(moved) >= 0).all()
    assert (shifted(probability, 0.0) == 0).all()


def test_measured_and_estimated_agree(tmp_path: Path) -> None:
    run = write_audited(tmp_path)
    scored = read_scored(run)
    worth = measured_worth(scored, SPOILT.true, CLASSES)
    assert (
        worth["wrong"] == int((SPOILT.true != SPOILT.given).sum()) == int(is_wrong(scored, SPOILT.true, CLASSES).sum())
    )
    assert worth["precision"][24] >= 0.9
    estimate = estimated_worth(scored)
    assert estimate["judged"].all()
    positives = estimate[estimate["given"] == 1]
    truly = int(((SPOILT.true == 0) & (SPOILT.given == 1)).sum())
    assert positives["wrong_low"].sum() <= truly <= positives["wrong_high"].sum()
    assert (positives["looks_low"] <= positives["looks"]).all()
    assert (positives["looks"] <= positives["labels"]).all()


def test_the_report_expects_what_the_command_expects(tmp_path: Path) -> None:
    run = write_audited(tmp_path, reviewed={0: ["dog"], 1: CLASSES})
    quality = read_quality(tmp_path / "data/audit", "train", run.given("train"))
    assert quality is not None
    worth = worth_of_audit(quality)
    pd.testing.assert_frame_equal(worth.table, estimated_worth(read_scored(run)))
    assert worth.warning == ""
    for given, share in ((1, "wrong_share"), (0, "missing_share")):
        parts = []
        for k, name in enumerate(CLASSES):
            own = quality.given_NK[:, k] == given
            expected = shifted(quality.p_wrong()[own, k], quality.classes[name][share])
            parts += list(zip(quality.quality_NK[own, k], expected, strict=True))
        found, looks = 0.0, 0
        for _, p_wrong in sorted(parts):
            if found >= 0.9 * sum(p for _, p in parts):
                break
            found, looks = found + p_wrong, looks + 1
        estimate, low, high = worth.looks[given]
        assert abs(estimate - looks) <= 1
        assert low <= estimate <= high


def test_classes_that_cannot_be_judged_are_named() -> None:
    classes = {"cat": {"judged": True}, "dog": {"judged": False}, "owl": {"judged": False}}
    assert cannot_tell(classes).startswith("2 of 3 classes cannot be told apart by these features")
    assert cannot_tell(classes).endswith('"dog", "owl"')
    assert cannot_tell({"cat": {"judged": True}}) == cannot_tell({}) == cannot_tell({"cat": {"mean_0": 1.0}}) == ""


def test_the_command_tells_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_audited(tmp_path)
    command.show()
    shown = capsys.readouterr().out
    assert "judged by the audit, out of fold" in shown
    assert "of the first   24 looked at" in shown
    assert "given, perhaps wrong" in shown
    write_audited(tmp_path, truth_known=False)
    command.show()
    shown = capsys.readouterr().out
    assert "The truth is known" not in shown
    assert "(95 %)" in shown
