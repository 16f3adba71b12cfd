"""The run that is shown while a training goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bmix.tracking.live import LiveRun
from bmix.tracking.record import read_record
from stages import publish
from tests.helpers.mlflow_runs import all_runs, children, content, histories, parents

if TYPE_CHECKING:
    from mlflow.entities import Run

DEAD_SERVER = "http://user:secret@127.0.0.1:9"
A_HANG = 1800


@pytest.mark.pipeline
def test_live_run_shows_epochs_and_is_replaced_by_the_record(recorded: Path) -> None:
    params = read_record().params
    live = LiveRun.start("train", params)
    row = {
        "epoch": 4,
        "phase": "managed",
        "train_loss": 0.5,
        "val_map": None,
        "clean": 0.9,
        "clean_positives": float("nan"),
    }
    live.log_epoch(row, 4)
    shown: list[Run] = []
    while not shown:
        time.sleep(0.2)
        shown = [run for run in all_runs() if run.data.metrics]
    assert histories(shown[0]) == {"train_loss": [(4, 0.5)], "labels/clean": [(4, 0.9)]}
    live.end()
    (parent,) = parents()
    assert parent.info.run_name == "balancemix · digits · mislabel 0.4 · seed 0 (live)"
    live_run = children()["train"]
    assert (live_run.info.run_name, live_run.info.status, parent.info.status) == ("train (live)", "FINISHED", "RUNNING")
    publish.main()
    assert [run.info.run_id for run in parents()] == [parent.info.run_id]
    assert parents()[0].info.run_name == "balancemix · digits · mislabel 0.4 · seed 0"
    assert "bmix.live" not in parents()[0].data.tags
    assert children()["train"].info.run_id != live_run.info.run_id
    assert {run.info.status for run in all_runs()} == {"FINISHED"}


@pytest.mark.pipeline
def test_live_run_of_what_has_a_record_leaves_it_alone(recorded: Path) -> None:
    publish.main()
    before = content()
    for _ in range(2):
        live = LiveRun.start("train", read_record().params)
        while not [run for run in all_runs() if run.info.run_name == "train (live)"]:
            time.sleep(0.2)
        live.end("KILLED")
    live_parent = next(run for run in parents() if "bmix.live" in run.data.tags)
    assert len(children(live_parent)) == 1
    (parent,) = [run for run in parents() if "bmix.live" not in run.data.tags]
    assert parent.info.status == "FINISHED"
    publish.main()
    assert content() == before
    assert len(all_runs()) == len(before)


def test_live_run_to_a_dead_server_costs_one_warning(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD_SERVER)
    live = LiveRun.start("train", read_record().params)
    assert live._writer is not None
    live._writer.wait(A_HANG)
    for epoch in range(1, 4):
        live.log_epoch({"train_loss": 1.0}, epoch)
    live.end()
    told = capsys.readouterr().err
    assert told.count("warning: no live metrics in MLflow: http://***@127.0.0.1:9: ConnectionRefusedError") == 1
    assert "secret" not in told


def test_live_run_is_a_no_op_where_tracking_is_off(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMIX_TRACKING", "off")
    live = LiveRun.start("train", {})
    live.log_epoch({"train_loss": 1.0}, 1)
    live.end()
    publish.main()
    assert not Path(".bmix").exists()
    assert not Path("mlflow.db").exists()
