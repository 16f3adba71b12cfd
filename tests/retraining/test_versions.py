"""Accepted models: whole or not there, and links that never lead nowhere."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from bmix.cli.use import _model_folder
from bmix.models.calibration import weights_digest
from bmix.retraining import versions
from bmix.retraining.by_hand import promote_by_hand, roll_back_by_hand
from bmix.retraining.history import BY_HAND, LINES, NightRecord, add_night, read_nights
from bmix.retraining.listing import plain_versions, render_versions
from bmix.retraining.night import run_night
from bmix.retraining.versions import CHAMPION, PREVIOUS, VERSIONS, champion, find_version, keep_version, promote
from bmix.retraining.way_back import is_data_of
from bmix.support.errors import InputError
from tests.helpers.nights import StagesByHand, write_rows


@pytest.fixture
def two_versions(project: Path, stages: StagesByHand) -> Path:
    """A project after two nights that promoted."""
    run_night([], stages.tools)
    write_rows(project, 450)
    run_night([], stages.tools)
    return project


def test_the_list_shows_which_version_is_served(two_versions: Path) -> None:
    rows = plain_versions()
    assert [(row["version"], row["role"]) for row in rows] == [(2, "champion"), (1, "previous")]
    assert rows[1]["reason"] == "the first model"
    table = render_versions()
    assert "champion" in table
    assert f"{100 * rows[0]['mAP']['all']:.1f}" in table


def test_rollback_and_promotion_by_hand_are_in_the_history(two_versions: Path) -> None:
    assert roll_back_by_hand() == "version 1 is served now, rolled back by hand; before it version 2"
    assert promote_by_hand("2") == "version 2 is served now, promoted by hand; before it version 1"
    assert promote_by_hand("previous").startswith("version 1 is served now")
    assert [night.result for night in read_nights()][2:] == [BY_HAND] * 3
    assert champion() == find_version("1")


def test_the_run_of_a_rejected_night_can_be_promoted_by_hand(project: Path, stages: StagesByHand) -> None:
    run_night([], stages.tools)
    write_rows(project, 300, shuffled=range(300))
    night = run_night(["retrain.gate_data=false"], stages.tools)
    assert promote_by_hand("night-b").startswith("version 2 is served now")
    kept = find_version("2")
    assert kept.note["weights"] == weights_digest(Path(night.run) / "models/final/model.safetensors")
    assert kept.note["facts"]["images"] == {"train": 180, "val": 60, "test": 60}
    assert is_data_of(Path(night.run), kept)
    assert not is_data_of(Path(night.run), find_version("1"))


def test_a_first_rollback_has_nothing_to_go_back_to(project: Path, stages: StagesByHand) -> None:
    run_night([], stages.tools)
    with pytest.raises(InputError, match="names no other version than the champion"):
        roll_back_by_hand()


@pytest.mark.parametrize("text", ["7", "0", "night", "previous", "²"])
def test_a_version_that_is_not_there_is_refused_with_those_that_are(
    project: Path, stages: StagesByHand, text: str
) -> None:
    with pytest.raises(InputError, match=r"run python -m flows\.retrain --once first"):
        find_version(text)
    run_night([], stages.tools)
    with pytest.raises(InputError, match="one of 1\n"):
        find_version(text)


def test_a_folder_in_the_place_of_the_champion_is_not_touched(two_versions: Path) -> None:
    CHAMPION.unlink()
    CHAMPION.mkdir()
    (CHAMPION / "mine").touch()
    with pytest.raises(InputError, match="is a file or folder"):
        promote(find_version("1"))
    assert (CHAMPION / "mine").exists()
    shutil.rmtree(CHAMPION)
    CHAMPION.symlink_to("elsewhere")
    with pytest.raises(InputError, match="leads to elsewhere, which is no version"):
        champion()


def test_a_kill_between_the_two_renames_leaves_a_model_served(
    two_versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def killed(source: str, target: str) -> None:
        replace(source, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(versions.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            versions.roll_back()
    assert champion() == find_version("1")
    assert (CHAMPION / "model.safetensors").is_file()
    assert PREVIOUS.resolve().is_dir()


def test_a_version_that_cannot_be_made_whole_is_not_there(two_versions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path(".bmix/runs/night-b") / "metrics.json").unlink()
    before = sorted(VERSIONS.rglob("*"))
    with pytest.raises(FileNotFoundError):
        keep_version(Path(".bmix/runs/night-b"), "why", {})
    assert sorted(VERSIONS.rglob("*")) == before


def test_a_damaged_note_is_named(two_versions: Path) -> None:
    (VERSIONS / "0001" / "version.json").write_text(json.dumps({"made": "today"}))
    with pytest.raises(InputError, match=r"models/versions/0001/version.json: is missing or damaged"):
        plain_versions()


def test_a_damaged_line_of_the_history_is_named(two_versions: Path) -> None:
    LINES.write_text(LINES.read_text().replace("promoted", "prompted", 1))
    with pytest.raises(InputError, match=r"history/retraining.csv, line 2: is damaged: result 'prompted'"):
        read_nights()


def test_a_reason_is_one_line_that_no_spreadsheet_runs(project: Path) -> None:
    add_night(NightRecord("2026-01-02T03:04:05.000+00:00", "failed", '=1+1\n, "two"'))
    assert '"\'=1+1 , ""two"""' in LINES.read_text().splitlines()[1]
    assert read_nights()[0].reason == '=1+1 , "two"'


def test_champion_names_the_served_model_unless_a_folder_is_called_so(two_versions: Path) -> None:
    assert _model_folder("champion") == CHAMPION
    assert _model_folder("models/final") == Path("models/final")
    Path("previous").mkdir()
    assert _model_folder("previous") == Path("previous")
