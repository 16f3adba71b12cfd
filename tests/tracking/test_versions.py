"""Sending again: nothing is lost, nothing is logged twice, and what differs stands beside what was."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bmix.tracking.stamp import STAMP
from bmix.workspace.pipeline_file import lasting_stages
from bmix.workspace.timings import note_epochs, stage_timing
from stages import publish
from tests.helpers.mlflow_runs import all_runs, children, client, content, histories, parents, superseded
from tests.helpers.tracked import write_lock, write_project


@pytest.mark.pipeline
def test_publish_again_logs_nothing_twice(recorded: Path) -> None:
    publish.main()
    first, runs = content(), {run.info.run_id for run in all_runs()}
    STAMP.unlink()
    publish.main()
    assert {run.info.run_id for run in all_runs()} == runs
    assert content() == first


@pytest.mark.pipeline
def test_a_rerun_of_the_same_is_a_new_version_and_the_old_one_stays(recorded: Path) -> None:
    publish.main()
    (first,), before = parents(), children()
    client().set_tag(first.info.run_id, "mlflow.note.content", "the one in the paper")
    old_lock = Path("dvc.lock").read_text()

    write_project(recorded, finished=75.0)
    write_lock(recorded, train=1, evaluate=1)
    publish.main()
    (second,), after = parents(), children()
    assert second.info.run_id == first.info.run_id
    assert second.data.tags["mlflow.note.content"] == "the one in the paper"
    assert histories(second)["mAP/all"] == [(0, 0.7), (1, 0.75)]
    assert second.data.metrics["mAP/all"] == 0.75
    assert {name for name in lasting_stages() if after[name].info.run_id != before[name].info.run_id} == {
        "train",
        "evaluate",
    }
    assert {run.info.run_id: run.data.tags["bmix.superseded"] for run in superseded()} == {
        before[name].info.run_id: after[name].info.run_id for name in ("train", "evaluate")
    }
    found = client().search_runs([first.info.experiment_id], "tags.`bmix.superseded` IS NULL")
    assert {run.info.run_id for run in found} == {run.info.run_id for run in [second, *after.values()]}
    kept = client().download_artifacts(before["train"].info.run_id, "dvc.lock", str(recorded))
    assert Path(kept).read_text() == old_lock

    # Back to the first, e.g. by git checkout and dvc checkout: its children are current again.
    write_project(recorded)
    publish.main()
    assert {name: run.info.run_id for name, run in children().items()} == {
        name: run.info.run_id for name, run in before.items()
    }
    assert parents()[0].data.metrics["mAP/all"] == 0.7
    assert {run.info.run_id for run in superseded()} == {after[name].info.run_id for name in ("train", "evaluate")}


@pytest.mark.pipeline
@pytest.mark.parametrize("other", ["params", "data", "code"])
def test_other_params_data_or_code_are_another_parent_and_the_first_stays(recorded: Path, other: str) -> None:
    publish.main()
    (first,), before = parents(), content()
    if other == "params":
        write_project(recorded, "method.epsilon=0.9")
    else:
        write_project(recorded, **{other: 1}, finished=60.0)
    publish.main()
    (second,) = [run for run in parents() if run.info.run_id != first.info.run_id]
    assert second.info.run_name == f"{first.info.run_name} · {other} {second.data.tags[f'bmix.{other}_digest'][:6]}"
    assert set(children(second)) == set(lasting_stages())
    assert not superseded()
    client().delete_run(second.info.run_id)
    for run in children(second).values():
        client().delete_run(run.info.run_id)
    assert content() == before


@pytest.mark.exhaustive
@pytest.mark.pipeline
def test_every_night_on_other_data_leaves_a_parent(recorded: Path) -> None:
    for night in range(3):
        write_project(recorded, data=night, finished=60.0 + night)
        publish.main()
    assert sorted(run.data.metrics["mAP/all"] for run in parents()) == [0.6, 0.61, 0.62]
    assert len({run.info.run_name for run in parents()}) == 3
    assert len(all_runs()) == 3 * (1 + len(lasting_stages()))


@pytest.mark.pipeline
def test_what_an_interrupted_publish_left_is_made_whole(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    publish.main()
    whole = content()
    for run in all_runs():
        client().delete_run(run.info.run_id)
    for place in ("bmix.tracking.send._fill_parent", "bmix.tracking.send.log_points", "bmix.tracking.send.log_content"):
        STAMP.unlink(missing_ok=True)
        with monkeypatch.context() as broken:
            broken.setattr(place, interrupt)
            with pytest.raises(KeyboardInterrupt):
                publish.main()
    publish.main()
    assert content() == whole
    assert len(all_runs()) == 1 + len(lasting_stages())


@pytest.mark.pipeline
def test_lost_artifacts_are_sent_again(recorded: Path) -> None:
    publish.main()
    first = content()
    shutil.rmtree("mlartifacts/runs")
    publish.main()
    assert content() == first


@pytest.mark.pipeline
def test_a_measure_that_a_version_lacks_is_not_that_of_the_one_before(recorded: Path) -> None:
    publish.main()
    write_lock(recorded, evaluate=1)
    metrics = json.loads(Path("metrics.json").read_text())
    Path("metrics.json").write_text(json.dumps({**metrics, "detection": None}))
    publish.main()
    assert math.isnan(parents()[0].data.metrics["detection/recall"])


@pytest.mark.exhaustive
@pytest.mark.pipeline
def test_lost_record_is_rebuilt_equal(recorded: Path, empty_database: Path) -> None:
    with stage_timing("train"):
        note_epochs("train", [1.0, 3.0])
    publish.main()
    first = content()
    assert first["train"][3]["seconds_per_epoch"] == [(0, 2.0)]
    shutil.copy(empty_database, "mlflow.db")
    STAMP.unlink()
    publish.main()
    assert content() == first


@pytest.mark.pipeline
def test_run_id_in_the_environment_is_not_written_to(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = client()
    other = mlflow.create_run(mlflow.create_experiment("other")).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", other)
    publish.main()
    assert len(parents()) == 1
    assert not mlflow.get_run(other).data.params


@pytest.mark.pipeline
def test_database_is_made_whole_by_two_processes_at_once(project: Path) -> None:
    command = [sys.executable, "-m", "stages.publish"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [line for process in both for line in process.communicate()[1].splitlines()]
    assert [line for line in told if not line.startswith("waiting for another process that writes")] == []
    assert len(parents()) == 1
    assert set(children()) == set(lasting_stages())
    assert not list(Path("mlartifacts").glob("*.unfinished"))
