"""A night as Prefect runs it: states, names and artifacts that tell the result, and the way back by DVC's cache."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bmix.models.calibration import weights_digest
from bmix.retraining.findings import Finding
from bmix.retraining.history import BY_MODEL, NightRecord, read_nights
from bmix.retraining.night import LOCK
from bmix.retraining.versions import champion, find_version
from bmix.retraining.way_back import restore
from bmix.support.errors import InputError
from flows.killed import free_place, mark_crashed
from flows.night import night, summary
from tests.helpers.projects import copy_project
from tests.helpers.tiny import read_written
from tests.support.test_locks import held_elsewhere


@pytest.fixture
def project(finished_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose stages DVC's cache restores."""
    monkeypatch.chdir(copy_project(finished_project, tmp_path / "project"))
    monkeypatch.setenv("BMIX_TRACKING", "off")
    return tmp_path / "project"


def run_of(state: Any) -> Any:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.read_flow_run(state.state_details.flow_run_id)


@pytest.mark.pipeline
def test_a_first_night_promotes_and_the_second_finds_nothing_new(project: Path, prefect_server: None) -> None:
    from prefect.artifacts import Artifact

    before = {name: content for name, content in read_written(project / "models").items() if "final" in name}
    state = night(return_state=True)
    assert state.name == "Promoted", state.message
    assert run_of(state).name.endswith(" · promoted")
    found = Artifact.get("bmix-night")
    assert found is not None
    assert "Champion: version 1." in found.data
    assert Artifact.get("bmix-night-data-gate") is not None
    # The outputs in the project's own folder are the user's.
    assert before.items() <= read_written(project / "models").items()
    state = night(return_state=True)
    assert (state.name, state.is_completed()) == ("NothingNew", True)
    assert run_of(state).name.endswith(" · nothing new")
    assert [record.result for record in read_nights()] == ["promoted", "nothing new"]

    version = find_version("1")
    assert version == champion()
    shutil.rmtree(version.note["run"])
    shutil.rmtree(".bmix/retraining")
    folder = restore(version)
    assert weights_digest(folder / "models/final/model.safetensors") == version.note["weights"]
    assert (folder / "data/noisy/labels.parquet").read_bytes() == (project / "data/noisy/labels.parquet").read_bytes()
    assert (folder / "report.html").exists()


def test_a_night_whose_process_was_killed_is_shown_as_crashed(prefect_server: None) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Completed, Running

    with get_client(sync_client=True) as client:
        killed, ended = (client.create_flow_run(night, state=state) for state in (Running(), Completed()))
        for run in (str(killed.id), str(ended.id), "00000000-0000-0000-0000-000000000000", "no id"):
            mark_crashed(run)
        assert client.read_flow_run(killed.id).state_name == "Crashed"
        assert client.read_flow_run(ended.id).state_name == "Completed"


def test_killed_runs_of_a_schedule_give_their_place_back(
    tmp_path: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Running, Scheduled

    monkeypatch.chdir(tmp_path)
    with get_client(sync_client=True) as client:
        deployments = [client.create_deployment(client.create_flow(night), name) for name in ("own", "another")]
        runs = [
            client.create_flow_run_from_deployment(deployment, state=state).id
            for deployment in deployments
            for state in (Scheduled(), Scheduled())
        ]
        for run in (runs[0], runs[2]):
            client.set_flow_run_state(run, Running(), force=True)
        # A night that outlived its schedule is at work.
        with held_elsewhere(LOCK.absolute()):
            assert free_place("own") == 0
        assert free_place("own") == 1
        assert free_place("own") == 0
        names = [client.read_flow_run(run).state_name for run in runs]
    assert names == ["Crashed", "Scheduled", "Running", "Scheduled"]


@pytest.mark.pipeline
def test_a_version_that_the_cache_no_longer_holds_is_told(project: Path) -> None:
    from bmix.retraining.versions import keep_version

    version = keep_version(Path(), "test", {})
    config = project / ".dvc/config"
    config.write_text(config.read_text().partition("[cache]")[0])
    with pytest.raises(InputError, match="DVC's cache does not give it back") as caught:
        restore(version)
    assert "models/versions/0001" in caught.value.remedy


def test_the_summary_tells_decision_figures_and_where_to_look() -> None:
    record = NightRecord(
        "2026-01-02T03:04:05.000+00:00",
        BY_MODEL,
        "mAP few: worse",
        version=3,
        run=".bmix/runs/night-a",
        candidate_map=0.5,
        champion_map=0.512,
        findings=[Finding("mAP few|x", "50.0 %", "40.0 %", "-3.0 %", False)],
    )
    told = summary(record)
    assert told.startswith("# rejected by model gate\n\nmAP few: worse\n\nChampion: version 3.")
    assert "| all | 50.0 | 51.2 |" in told
    assert "| few | – | – |" in told
    assert "| mAP few\\|x | 50.0 % | 40.0 % | -3.0 % | refused |" in told
    assert told.endswith("Report: `.bmix/runs/night-a/report.html`.")
