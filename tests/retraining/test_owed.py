"""What MLflow is owed: noted before it is sent, sent by the next night, told in a line, and never a night's failure."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bmix.cli.models import sync
from bmix.retraining import history
from bmix.retraining.by_hand import roll_back_by_hand
from bmix.retraining.night import run_night
from bmix.retraining.owed import NOTES, all_owed, lock_digest
from bmix.support.errors import InputError
from tests.helpers.nights import StagesByHand, write_rows

NIGHT = "2026-01-02T03:04:05.000+00:00"
NOWHERE = "http://me:secret@127.0.0.1:9"
"""A destination that nothing answers at."""


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracking at a server that is away."""
    monkeypatch.delenv("BMIX_TRACKING")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)


def test_a_night_notes_what_a_server_that_is_away_has_missed(project: Path, stages: StagesByHand, away: None) -> None:
    assert run_night([], stages.tools).result == history.PROMOTED
    run, version = all_owed()
    assert (run.version, version.version) == (None, 1)
    assert run.tags["bmix.night_result"] == "promoted"
    assert version.tags["bmix.reason"] == "the first model"
    assert run.lock == version.lock == lock_digest(Path(run.run))
    (warning,) = [line for line in stages.told if "warning" in line]
    assert f"does not know of the night of {run.night[:19]}, version 1" in warning
    assert "the next night sends it, as does bmix models sync" in warning
    assert "secret" not in warning + "".join(path.read_text() for path in NOTES.iterdir())

    stages.told.clear()
    assert run_night([], stages.tools).result == history.NOTHING_NEW
    assert [line for line in stages.told if "warning" in line] == [warning]
    assert all_owed() == [run, version]


def test_a_rejected_candidate_is_owed_its_result_and_a_rollback_its_version(
    project: Path, stages: StagesByHand, away: None
) -> None:
    run_night([], stages.tools)
    write_rows(project, 450)
    run_night([], stages.tools)
    roll_back_by_hand()
    shutil.rmtree(NOTES)
    write_rows(project, 300, shuffled=range(300))
    assert run_night(["retrain.gate_data=false"], stages.tools).result == history.BY_MODEL
    (rejected,) = all_owed()
    assert (rejected.version, rejected.tags["bmix.night_result"]) == (None, history.BY_MODEL)
    roll_back_by_hand()
    assert all_owed()[1].tags["bmix.reason"].startswith("version 2 is served now, rolled back by hand")


def test_a_night_that_was_killed_at_its_promotion_left_a_note(
    project: Path, stages: StagesByHand, away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bmix.retraining.night.promote", killed)
    with pytest.raises(KeyboardInterrupt):
        run_night([], stages.tools)
    assert [note.version for note in all_owed()] == [1]


def test_nothing_is_noted_where_tracking_is_off(project: Path, stages: StagesByHand) -> None:
    run_night([], stages.tools)
    assert not NOTES.exists()
    assert not any("MLflow" in line for line in stages.told)
    with pytest.raises(InputError, match="BMIX_TRACKING: is off"):
        sync()
