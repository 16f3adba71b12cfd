"""Whether doubting labels pays: where many are wrong, where right ones are hard, and where too few tell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bmix.audit import rehearsal
from bmix.audit.arrays import audit_labels
from bmix.audit.files import AuditedSplit, write_audit
from bmix.audit.rehearsal import Rehearsal, rehearse
from bmix.data.present import read_present
from tests.helpers.spoilt import spoilt_labels


def test_doubts_pay_where_many_labels_are_wrong_and_not_where_right_ones_are_hard() -> None:
    many = spoilt_labels(rows=500, wrong=0.4, width=200)
    found = rehearse(many.features, many.given, 3, 0)
    assert found is not None
    assert found.pays
    assert found.gain > found.error
    hard = spoilt_labels(rows=500, apart=1.0)
    found = rehearse(hard.features, hard.true, 3, 0)
    assert found is not None
    assert not found.pays


def test_equal_input_gives_equal_results_and_stays_as_it_is() -> None:
    spoilt = spoilt_labels(rows=120)
    features, given = spoilt.features.copy(), spoilt.given.copy()
    first = rehearse(features, given, 2, 0)
    assert first == rehearse(features, given, 2, 0)
    assert first != rehearse(features, given, 2, 1)
    assert (features == spoilt.features).all()
    assert (given == spoilt.given).all()


def test_an_unknown_label_counts_nowhere() -> None:
    spoilt = spoilt_labels(rows=120)
    given = spoilt.given.copy()
    unknown = np.random.default_rng(0).random(given.shape) < 0.3
    given[unknown] = -1
    weight = torch.from_numpy((given >= 0).astype(np.float32))
    inputs, labels = torch.from_numpy(spoilt.features), torch.from_numpy(given)
    head = rehearsal._trained(inputs, labels, weight, 2, 0)
    flipped = torch.where(labels < 0, 1, labels)
    assert torch.equal(rehearsal._trained(inputs, flipped, weight, 2, 0), head)
    assert rehearsal._believed(spoilt.features, inputs, labels, 2, 0)[torch.from_numpy(unknown)].abs().sum() == 0
    assert rehearse(spoilt.features, given, 2, 0) is not None


def test_a_head_is_that_of_a_loop_over_images_and_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "BATCH", 20)
    monkeypatch.setattr(rehearsal, "STEPS_PER_EPOCH", 2)
    spoilt, rng = spoilt_labels(rows=20), np.random.default_rng(0)
    weight = rng.random(spoilt.given.shape).astype(np.float32)
    inputs, labels = torch.from_numpy(spoilt.features), torch.from_numpy(spoilt.given)
    head = rehearsal._trained(inputs, labels, torch.from_numpy(weight), 3, 0)
    slow = torch.zeros(inputs.shape[1], labels.shape[1], requires_grad=True)
    optimizer = torch.optim.AdamW([slow], rehearsal.RATE)
    for _ in range(6):
        total = torch.zeros(())
        for n in range(20):
            for k in range(labels.shape[1]):
                f = torch.sigmoid(inputs[n] @ slow[:, k])
                total = total - float(weight[n, k]) * torch.log(f if labels[n, k] else 1 - f) / 20
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert torch.allclose(head, slow.detach(), atol=1e-5)


def test_too_little_to_tell() -> None:
    spoilt = spoilt_labels(rows=120)
    assert rehearse(spoilt.features[:40], spoilt.given[:40], 2, 0) is None
    assert rehearse(spoilt.features, np.zeros_like(spoilt.given), 2, 0) is None
    assert rehearse(spoilt.features, np.full_like(spoilt.given, -1), 2, 0) is None
    some = spoilt.given.copy()
    some[:, 1:] = 0
    found = rehearse(spoilt.features, some, 2, 0)
    assert found is not None
    assert found.error == 0


def test_of_many_rows_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = spoilt_labels(rows=300)
    monkeypatch.setattr(rehearsal, "ROWS", 100)
    asked: list[int] = []
    original = rehearsal.folds_of

    def counted(features_ND, given_NK, folds, rng):
        asked.append(len(features_ND))
        return original(features_ND, given_NK, folds, rng)

    monkeypatch.setattr(rehearsal, "folds_of", counted)
    assert rehearse(spoilt.features, spoilt.given, 2, 0) is not None
    assert asked == [100]


def test_a_loss_within_one_standard_error_is_no_reason_to_stop_doubting() -> None:
    assert Rehearsal(-0.01, 0.02).pays
    assert not Rehearsal(-0.03, 0.02).pays
    assert Rehearsal(0.01, 0.0).pays
    assert not Rehearsal(0.0, 0.0).pays


@pytest.mark.parametrize("gain", [0.01, -0.01])
def test_training_is_told_to_doubt_only_where_it_pays(tmp_path: Path, gain: float) -> None:
    spoilt = spoilt_labels(rows=200)
    given = spoilt.given.copy()
    given[0, 0] = -1
    given[:, 5] = 0
    audit = audit_labels(spoilt.features, given)
    judged = audit.classes["judged"].to_numpy(bool)
    assert judged.any()
    assert not judged[5]
    split = AuditedSplit([str(n) for n in range(200)], given, audit)
    write_audit(tmp_path, "source", list("abcdef"), {"train": split}, Rehearsal(gain, 0.002))
    present = read_present(tmp_path, *given.shape)
    assert present is not None
    if gain > 0:
        assert present[:, judged] == pytest.approx(audit.p_present[:, judged], abs=1e-6)
        assert np.isnan(present[:, ~judged]).all()
    else:
        assert (present == (given == 1)).all()
    estimate = json.loads((tmp_path / "noise_estimate.json").read_text())
    assert estimate["rehearsal"] == {"gain": gain, "error": 0.002, "pays": gain > 0}
