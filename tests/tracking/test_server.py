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
from bmix.tracking.stamp import is_current
from stages import publish
from tests.helpers.mlflow_runs import artifacts, children, client, parents

A_HANG = 1800


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def tracking_server(folder: Path, port: int, database: Path) -> Iterator[str]:
    folder.mkdir()
    shutil.copy(database, folder / "runs.db")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    places = ["--backend-store-uri", "sqlite:///runs.db", "--artifacts-destination", str(folder / "artifacts")]
    variables = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
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
