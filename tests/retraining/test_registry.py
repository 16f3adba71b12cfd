"""What is owed to MLflow is sent, as far as anything can be made of it, to a record that was away."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bmix.cli.models import sync
from bmix.pipeline.projects import HOME
from bmix.retraining import history, registry
from bmix.retraining.history import NightRecord
from bmix.retraining.owed import NOTES, owe_run, owe_version
from bmix.retraining.registry import tell_mlflow
from bmix.retraining.versions import CHAMPION, Version, keep_version, promote
from bmix.support.errors import InputError
from bmix.tracking.destination import destination
from bmix.tracking.late import send_late
from tests.helpers.mlflow_runs import client, parents
from tests.helpers.tiny import REPOSITORY
from tests.helpers.tracked import write_project
from tests.tracking.test_models import save_model

NIGHT, NEXT_NIGHT, LAST_NIGHT = (f"2026-01-0{day}T03:04:05.000+00:00" for day in (2, 3, 4))
NOWHERE = "http://me:secret@127.0.0.1:9"
"""A destination that nothing answers at."""


class Recorded:
    """A project whose candidate of a night can be recorded, and a database that can be away."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.run = Path(".bmix/runs/night-a")
        self.told: list[str] = []
        self._database = database
        for name in ("dvc.yaml", "params.yaml"):
            shutil.copy(REPOSITORY / name, folder / name)

    def candidate(self, seed: int, night: str = NIGHT) -> NightRecord:
        """A finished run in the folder of the candidate."""
        shutil.rmtree(self.run, ignore_errors=True)
        self.run.mkdir(parents=True)
        write_project(self.run, f"training.seed={seed}")
        shutil.copy("dvc.yaml", self.run)
        save_model(self.run / "models/final", seed)
        return NightRecord(night, history.PROMOTED, "better", run=str(self.run))

    def promoted(self, seed: int, night: str = NIGHT) -> Version:
        """A version of such a run, noted for MLflow."""
        record = self.candidate(seed, night)
        version = keep_version(self.run, "better", {})
        owe_version(night, version, "better")
        promote(version)
        owe_run(record)
        return version

    def comes_back(self) -> None:
        """The record can be written."""
        shutil.copy(self._database, "mlflow.db")

    def goes_away(self) -> None:
        """The record is no database any more."""
        Path("mlflow.db").write_bytes(b"nothing that is a database")

    def settle(self, since: str = "") -> int:
        """Tell MLflow; what that printed is in `told`."""
        self.told.clear()
        return tell_mlflow(self.told.append, since)


@pytest.fixture
def recorded(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    for name in ("BMIX_TRACKING", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "BMIX_HOME"):
        monkeypatch.delenv(name, raising=False)
    return Recorded(tmp_path, empty_database)


@pytest.mark.pipeline
def test_a_night_after_the_server_is_back_sends_record_version_aliases_and_tags(recorded: Recorded) -> None:
    recorded.goes_away()
    first = recorded.promoted(1)
    assert recorded.settle() == 2
    assert "not a database" in recorded.told[0]
    recorded.comes_back()
    assert recorded.settle(NEXT_NIGHT) == 0
    assert recorded.told == ["MLflow was told what it had missed: the night of 2026-01-02T03:04:05, version 1"]
    (run,) = parents()
    assert (run.data.tags["bmix.night_result"], run.data.tags["bmix.night"]) == ("promoted", NIGHT)
    assert run.data.metrics["mAP/all"] == pytest.approx(0.7)
    served = client().get_model_version_by_alias("bmix", "champion")
    assert served.run_id == run.info.run_id
    assert served.tags["bmix.version"] == str(first.number)
    assert served.tags["bmix.mAP.all"] == "70.00"
    assert recorded.settle() == 0
    assert recorded.told == []

    # Its own night: nothing to tell of. The folder holds another run now, and the model is in the record.
    second = recorded.promoted(2, NEXT_NIGHT)
    assert recorded.settle(NEXT_NIGHT) == 0
    assert recorded.told == []
    aliases = {name: client().get_model_version_by_alias("bmix", name) for name in ("champion", "previous")}
    assert {name: each.tags["bmix.version"] for name, each in aliases.items()} == {
        "champion": str(second.number),
        "previous": str(first.number),
    }
    promote(first)
    owe_version(LAST_NIGHT, first, "by hand")
    assert recorded.settle() == 0
    assert client().get_model_version_by_alias("bmix", "champion").tags["bmix.reason"] == "by hand"
    assert len(client().search_model_versions("name = 'bmix'")) == 2


class Register:
    """In the place of MLflow's registry: what was sent and tagged, and the aliases."""

    def __init__(self) -> None:
        self.sent: list[Path] = []
        self.tagged: list[str] = []
        self.aliases: dict[str, str] = {}

    def send_late(self, folder: Path, _home: Path, _target: object) -> str:
        """In the place of publishing: the folder has to be there."""
        assert (folder / "dvc.lock").is_file()
        self.sent.append(folder)
        return str(folder)

    def tag_run(self, run_id: str, tags: dict[str, str]) -> None:
        self.tagged.append(f"{run_id}: {tags['bmix.night_result']}")

    def holds(self, _model: Path) -> bool:
        return bool(self.sent)

    def keep(self, model: Path, _tags: dict[str, str], alias: str = "") -> bool:
        if alias:
            self.aliases[alias] = model.name
        return True


@pytest.fixture
def register(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> Register:
    made = Register()
    monkeypatch.setattr("bmix.tracking.champion.Registry", lambda target: made)
    monkeypatch.setattr("bmix.tracking.late.send_late", made.send_late)
    return made


def test_a_version_whose_folder_was_taken_is_sent_from_a_restored_copy(
    recorded: Recorded, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.promoted(1)
    kept = Path(shutil.copytree(recorded.run, "cache"))
    owe_run(recorded.candidate(2, NEXT_NIGHT))
    recorded.candidate(3)
    copy = Path(".bmix/runs/version-0001")
    monkeypatch.setattr(registry, "restore", lambda version: Path(shutil.copytree(kept, copy)))
    assert recorded.settle() == 0
    lost, told = recorded.told
    assert "will not know of the night of 2026-01-03T03:04:05" in lost
    assert "holds the run of another candidate by now" in lost
    assert told.endswith("the night of 2026-01-02T03:04:05, version 1")
    assert register.sent == [copy]
    assert register.tagged == [f"{copy}: promoted"]
    assert register.aliases == {"champion": "0001"}
    assert not copy.exists()
    # One that a person had brought back stays.
    recorded.promoted(4, LAST_NIGHT)
    shutil.copytree(recorded.run, second := copy.with_name("version-0002"))
    recorded.candidate(5)
    assert recorded.settle() == 0
    assert register.sent[-1] == second
    assert second.is_dir()


def test_a_version_that_was_removed_is_told_of_and_forgotten(recorded: Recorded, register: Register) -> None:
    shutil.rmtree(recorded.promoted(1).folder)
    CHAMPION.unlink()
    assert recorded.settle() == 0
    lost, told = recorded.told
    assert lost.startswith("warning: MLflow will not know of version 1: version 1: there is none in models/versions")
    assert told.endswith("had missed: the night of 2026-01-02T03:04:05")
    assert register.aliases == {}


def test_notes_for_another_destination_are_left_and_named(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MLFLOW_TRACKING_URI", NOWHERE)
        owe_run(recorded.candidate(1))
    assert recorded.settle() == 0
    assert recorded.told == []
    assert sync() == 1
    place = "http://***@127.0.0.1:9, bmix"
    assert capsys.readouterr().out == f"still to be told to {place}: the night of 2026-01-02T03:04:05\n"
    # With another password it is the same place.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE.replace("secret", "changed"))
    assert recorded.settle() == 1
    shutil.rmtree(NOTES)
    assert sync() == 0
    assert capsys.readouterr().out == "MLflow knows of every version and night\n"


def test_what_fails_is_tried_for_a_month(
    recorded: Recorded, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days in (29, 31):
        owe_run(recorded.candidate(1, (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="milliseconds")))

    def fail(*_: object) -> str:
        raise OSError("publish has no room")

    monkeypatch.setattr("bmix.tracking.late.send_late", fail)
    assert recorded.settle() == 1
    assert ["given up after 30 days" in line for line in recorded.told] == [False, True, False]
    assert "OSError: publish has no room" in recorded.told[0]
    assert recorded.settle() == 1


def test_a_damaged_note_is_named_and_the_others_wait(recorded: Recorded, register: Register) -> None:
    recorded.promoted(1)
    (NOTES / "0.json").write_text("{}")
    assert recorded.settle() == 0
    assert recorded.told[0].startswith(f"warning: {NOTES}/0.json: is damaged: ")
    assert recorded.told[0].endswith(f"fix: remove it: rm {NOTES}/0.json")
    (NOTES / "0.json").unlink()
    assert recorded.settle() == 0
    assert register.aliases == {"champion": "0001"}


def test_a_run_that_makes_no_record_is_told_apart_from_a_record_that_does_not_arrive(recorded: Recorded) -> None:
    recorded.goes_away()
    recorded.candidate(1)
    with pytest.raises(OSError, match=r"not up to date: .*file is not a database"):
        send_late(recorded.run, HOME, destination())
    (recorded.run / "metrics.json").unlink()
    with pytest.raises(InputError, match=r"makes no record: error: metrics.json: no such file"):
        send_late(recorded.run, HOME, destination())
