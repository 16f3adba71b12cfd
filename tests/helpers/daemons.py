"""Servers in processes of their own on free ports of this machine, to be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.helpers.projects import HANG_SECONDS

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


@dataclass
class Daemon:
    """A server: how it is started, the address that answers when it is up, and its log."""

    command: list[str]
    health: str
    log: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it in a process group of its own, and wait until it answers; SystemExit if it ends."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command],
                cwd=self.log.parent,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        deadline = time.monotonic() + HANG_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"error: {self.command[0]}'s server does not start; see {self.log}")
            time.sleep(0.3)

    def kill(self) -> None:
        """kill -9, with all of its workers."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(HANG_SECONDS)

    def stop(self) -> None:
        """End it; what does not end within a minute is killed."""
        if self.process is None or self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()

    def _answers(self) -> bool:
        try:
            return httpx.get(self.health, timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


def prefect_daemon(folder: Path, **environment: str) -> tuple[Daemon, str]:
    """Prefect's server with its database in `folder`, and the address of its API."""
    port = free_port()
    url = f"http://{HOST}:{port}/api"
    # Its pages look for the server at the usual port otherwise.
    own = {
        "PREFECT_HOME": str(folder / ".prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_API_URL": url,
        **environment,
    }
    command = ["prefect", "server", "start", "--host", HOST, "--port", str(port)]
    return Daemon(command, f"{url}/health", folder / "server.log", own), url


@contextmanager
def prefect_server(folder: Path, **environment: str) -> Iterator[str]:
    """The address of the API of a server of its own, with its database and its log in `folder`."""
    server, url = prefect_daemon(folder, **environment)
    server.start()
    try:
        yield url
    finally:
        server.stop()


def mlflow_daemon(folder: Path, store: str = "sqlite:///runs.db") -> tuple[Daemon, str]:
    """MLflow's server with its artifacts in `folder`, and its address."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = ["mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts")]
    # Without the processes that run jobs, which bmix has none of, it starts in half the time.
    own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_TRACKING_URI": ""}
    return Daemon(command, f"http://{HOST}:{port}/health", folder / "log", own), f"http://{HOST}:{port}"
