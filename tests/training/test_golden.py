from __future__ import annotations

import json
from pathlib import Path

import pytest

from bmix.training.checkpoint import Checkpoints
from bmix.training.identity import RunIdentity
from tests.training.golden import FILE, RUNS, golden_trainer, result


@pytest.mark.parametrize("run", RUNS)
def test_three_epochs_come_to_what_is_kept_on_a_rerun_and_through_a_resume(run: str, tmp_path: Path) -> None:
    kept = json.loads(FILE.read_text(encoding="utf-8"))[run]
    first = golden_trainer(tmp_path, run)
    checkpoints = Checkpoints(tmp_path / "runs", "train", RunIdentity({}))
    while first.epoch < 3:
        first.train_epoch()
        if first.epoch == 2:
            checkpoints.save(first)
    resumed = golden_trainer(tmp_path, run)
    assert checkpoints.resume(resumed)
    resumed.train_epoch()
    found = result(first)
    assert result(resumed) == found

    # Processors of another kind differ in the last bits.
    for row, expected in zip(found["epochs"], kept["epochs"], strict=True):
        assert row.keys() == expected.keys()
        for name, value in expected.items():
            tolerance = {"rel": 1e-4} if name.endswith("loss") else {"abs": 2}
            assert row[name] == (value if value is None else pytest.approx(value, **tolerance)), name
    assert found["closing verdicts"] == pytest.approx(kept["closing verdicts"], abs=2)
