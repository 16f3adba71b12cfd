"""A record kept by a real tracking server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bmix.tracking.destination import destination
from bmix.tracking.live import LiveRun
from bmix.tracking.record import read_record
from bmix.tracking.stamp import is_current
from stages import publish
from tests.helpers.mlflow_runs import all_runs, artifacts, children, client, histories, parents
from tests.helpers.tracked import EPOCHS, WARMUP_EPOCHS
from tests.tracking.test_models import save_model

A_HANG = 1800


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def tracking_server(folder: Path, port: int, database: Path) -> Iterator[str]:
    """A server on `folder`, which goes on from what it held before; killed, not ended, when the block is left."""
    folder.mkdir(exist_ok=True)
    if not (folder / "runs.db").exists():
        shutil.copy(database, folder / "runs.db")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    places = ["--backend-store-uri", "sqlite:///runs.db", "--artifacts-destination", str(folder / "artifacts")]
    # Without the processes that run jobs, which bmix has none of, it starts in half the time.
    variables = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    variables.pop("MLFLOW_TRACKING_URI", None)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, *places], cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT, process_group=0
        )
    try:
        deadline = time.monotonic() + A_HANG
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(A_HANG)


@pytest.mark.exhaustive
@pytest.mark.pipeline
def test_what_a_server_lost_is_sent_again(
    project: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tracking_server(project.parent / "server", free_port(), empty_database) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert not is_current(destination())
        publish.main()
        assert {"report.html", "dvc.lock", "labels/verdicts.parquet"} <= artifacts(parents()[0])
        capsys.readouterr()
        publish.main()
        assert capsys.readouterr().out == f"MLflow record up to date at {address}\n"
        client().delete_run(children()["train"].info.run_id)
        assert not is_current(destination())
        publish.main()
        assert is_current(destination())
        client().delete_experiment(parents()[0].info.experiment_id)
        assert not is_current(destination())


@pytest.mark.pipeline
def test_a_server_that_is_killed_in_mid_run_holds_the_whole_record_in_the_end(
    project: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(project / "models/final")
    server = (project.parent / "server", free_port(), empty_database)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server[1]}")
    # Writing to a server that is down waits for no second try.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    row = {"train_loss": 0.5, "val_map": 0.25}

    with tracking_server(*server):
        live = LiveRun.start("train", read_record().params)
        live.log_epoch(row, WARMUP_EPOCHS + 1)
        deadline = time.monotonic() + A_HANG
        while not [run for run in all_runs() if run.data.metrics]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    for epoch in range(WARMUP_EPOCHS + 2, EPOCHS + 1):
        live.log_epoch(row, epoch)
    live.end()
    publish.main()
    assert "not up to date" in capsys.readouterr().err
    assert not (project / ".bmix/published.json").exists()

    with tracking_server(*server):
        assert {run.info.status for run in all_runs()} == {"RUNNING"}
        publish.main()
        assert is_current(destination())
        (parent,) = parents()
        assert {run.info.status for run in all_runs()} == {"FINISHED"}
        assert "bmix.live" not in parent.data.tags
        assert parent.data.metrics["mAP/all"] == pytest.approx(0.7)
        found = children()
        assert set(found) == {"prepare", "noise", "audit", "pretrain", "warmup", "pseudo", "train", "evaluate"}
        steps = {stage: [step for step, _ in histories(found[stage])["train_loss"]] for stage in ("warmup", "train")}
        assert steps["warmup"] == list(range(1, WARMUP_EPOCHS + 1))
        assert steps["train"] == list(range(WARMUP_EPOCHS + 1, EPOCHS + 1))
        files = {"report.html", "metrics.json", "params.yaml", "dvc.lock", "labels/verdicts.parquet"}
        assert files <= artifacts(parent)
        (output,) = parent.outputs.model_outputs
        model = client().get_logged_model(output.model_id)
        assert str(model.status) == "READY"
        assert (server[0] / "artifacts" / model.artifact_location.partition(":/")[2].lstrip("/") / "MLmodel").is_file()
        assert len(client().search_logged_models([parent.info.experiment_id])) == 1
