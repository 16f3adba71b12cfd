"""`python -m tests.chaos.served [TRIAL ...]`: nights on a schedule, and what of it is killed.

schedule: all its processes get kill -9 while a night trains; how long until a new start runs the next night.
pool: two workers, of which the one with the night is killed with all below it; how long until Prefect's server shows
the night as crashed, and until the other worker runs the next one.
memory, files: Prefect's server is killed while a night is at work, and started again, with its leases in memory or in
files; what becomes of that night, of those that would overlap with it, and of the next one.
Prints what happened in lines for docs/retraining.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from bmix.retraining.history import CANCELLED, read_nights
from tests.helpers.daemons import Daemon, prefect_daemon
from tests.helpers.nights import make_growing_project
from tests.helpers.projects import HANG_SECONDS

INTERVAL = 15
POOL = "nights"
TRAINING = ("warmup", "train")
SECONDS_AWAY = 5
"""How long the server stays away before it is started again."""
SECONDS_OF_WAITING = 330
"""Prefect renews the lease of a run after 225 seconds: a night must last longer to feel that it is gone."""
FILES = "prefect.server.concurrency.lease_storage.filesystem"


@dataclass
class Place:
    """The project of a trial with a Prefect server, and the processes that were started in it."""

    trial: str
    folder: Path
    environment: dict[str, str]
    server: Daemon
    api: str

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A command that stays, its output in served.log."""
        with Path("served.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *command], env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )

    def run(self, *command: str) -> None:
        """A command that has to end well."""
        subprocess.run([sys.executable, "-m", *command], env=self.environment, check=True, timeout=HANG_SECONDS)

    def nights(self) -> list[dict[str, Any]]:
        """The runs at Prefect's server, the oldest first, but for those that are still to come."""
        query = {"sort": "EXPECTED_START_TIME_ASC", "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}}}
        runs: list[dict[str, Any]] = httpx.post(f"{self.api}/flow_runs/filter", json=query, timeout=60).json()
        return runs

    def running(self) -> dict[str, Any] | None:
        """The night that is at work."""
        return next((run for run in reversed(self.nights()) if run["state_type"] == "RUNNING"), None)

    def state(self, run: dict[str, Any]) -> str:
        """What the server shows a night as by now."""
        return str(next(each["state_name"] for each in self.nights() if each["id"] == run["id"]))

    def at_stage(self, below: subprocess.Popen[bytes], *stages: str) -> bool:
        """Whether one of the stages is at work below a process."""
        names = {f"stages.{stage}" for stage in stages}
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(below.pid).children(recursive=True):
                if names & set(child.cmdline()):
                    return True
        return False


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a process and all below it, as when a machine goes down."""
    for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            one.kill()
    process.wait(HANG_SECONDS)


def wait_for(what: str, there: Callable[[], Any]) -> float:
    """The seconds until something is there; SystemExit if it does not come."""
    start = time.monotonic()
    while not there():
        if time.monotonic() - start > HANG_SECONDS:
            raise SystemExit(f"error: {what} has not come in {HANG_SECONDS} s; see served.log")
        time.sleep(0.2)
    return time.monotonic() - start


def kill_schedule(place: Place) -> None:
    """A schedule is killed while a night trains, and started anew."""
    schedule = ("flows.retrain", "--interval", str(INTERVAL))
    first = place.start(*schedule)
    wait_for("a night that trains", lambda: place.at_stage(first, *TRAINING))
    killed = place.running()
    assert killed is not None
    kill_tree(first)
    second = place.start(*schedule)
    try:
        seconds = wait_for("the next night", lambda: (run := place.running()) and run["id"] != killed["id"])
        cancelled = sum(run["state_type"] == "CANCELLED" for run in place.nights())
        print(f"schedule: the night that was killed is {place.state(killed)}")
        print(f"schedule: {seconds:.0f} s after the new start the next one ran")
        print(f"schedule: {cancelled} nights were cancelled")
        wait_for("the end of the night", lambda: not place.running())
    finally:
        second.terminate()
        second.wait(HANG_SECONDS)
    print("schedule: " + ", ".join(record.result for record in read_nights()), flush=True)


def kill_worker(place: Place) -> None:
    """The worker of a pool that has the night is killed; another one is there."""
    known, lines = {run["id"] for run in place.nights()}, len(read_nights())
    place.run("prefect", "work-pool", "create", POOL, "--type", "process")
    workers = [place.start("prefect", "worker", "start", "--pool", POOL, "--name", name) for name in ("one", "two")]
    place.run("flows.retrain", "--interval", str(INTERVAL), "--work-pool", POOL)
    try:
        wait_for("a night that trains", lambda: any(place.at_stage(worker, *TRAINING) for worker in workers))
        victim = next(worker for worker in workers if place.at_stage(worker, *TRAINING))
        killed = place.running()
        assert killed is not None
        kill_tree(victim)
        start = time.monotonic()
        wait_for("the mark of the killed night", lambda: place.state(killed) != "Running")
        print(f"pool: the night of the killed worker is {place.state(killed)} after {time.monotonic() - start:.0f} s")
        wait_for("the next night", lambda: (run := place.running()) and run["id"] != killed["id"])
        print(f"pool: the other worker ran the next night after {time.monotonic() - start:.0f} s")
        wait_for("the end of the night", lambda: not place.running())
        cancelled = sum(run["state_type"] == "CANCELLED" and run["id"] not in known for run in place.nights())
        print(f"pool: {cancelled} nights were cancelled")
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
                worker.wait(HANG_SECONDS)
    print("pool: " + ", ".join(record.result for record in read_nights()[lines:]), flush=True)


def restart_server(place: Place) -> None:
    """Prefect's server is killed while a night of a schedule is at work, and comes back."""
    _slow_down(place.folder / "stages/prepare.py")
    schedule = place.start("flows.retrain", "--interval", str(INTERVAL))
    wait_for("a night at work", lambda: place.at_stage(schedule, "prepare"))
    hit = place.running()
    assert hit is not None
    place.server.kill()
    time.sleep(SECONDS_AWAY)
    place.server.start()
    start = time.monotonic()

    def ended() -> list[str]:
        return [record.result for record in read_nights() if record.result != CANCELLED]

    try:
        wait_for("the end of the night", ended)
        wait_for("its state", lambda: place.state(hit) != "Running")
        print(f"{place.trial}: {time.monotonic() - start:.0f} s after the server was back the night was {ended()[0]}")
        print(f"{place.trial}: Prefect shows it as {place.state(hit)}")
        by_lock = sum(record.result == CANCELLED for record in read_nights())
        by_server = sum(run["state_type"] == "CANCELLED" for run in place.nights()) - by_lock
        print(f"{place.trial}: the server cancelled {by_server} that would overlap, the lock of the nights {by_lock}")
        start = time.monotonic()
        wait_for("the next night", lambda: len(ended()) > 1)
        print(f"{place.trial}: {time.monotonic() - start:.0f} s later the next night was {ended()[1]}", flush=True)
    finally:
        schedule.terminate()
        schedule.wait(HANG_SECONDS)


def _slow_down(stage: Path) -> None:
    """Have a stage wait before it begins, so that a night is long without keeping a core busy."""
    line = "from __future__ import annotations\n"
    before, after = stage.read_text(encoding="utf-8").split(line)
    waits = f"import time\n\ntime.sleep({SECONDS_OF_WAITING})\n"
    stage.write_text(f"{before}{line}{waits}{after}", encoding="utf-8")


TRIALS: dict[str, tuple[Callable[[Place], None], dict[str, str]]] = {
    "schedule": (kill_schedule, {}),
    "pool": (kill_worker, {}),
    "memory": (restart_server, {}),
    "files": (restart_server, {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": FILES}),
}
"""The trials, and the settings of the server of each."""


def main(folder: Path, name: str) -> None:
    """One trial in a new project in `folder`."""
    trial, settings = TRIALS[name]
    make_growing_project(folder, 300, "training.epochs=40", "training.warmup_epochs=20", "retrain.gate_model=false")
    os.chdir(folder)
    server, api = prefect_daemon(folder, **settings)
    environment = {**os.environ, "PREFECT_HOME": str(folder / ".prefect"), "PREFECT_API_URL": api}
    server.start()
    try:
        trial(Place(name, folder, environment | {"BMIX_TRACKING": "off"}, server, api))
    finally:
        server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("trials", nargs="*", choices=[*TRIALS], default=list(TRIALS), metavar="TRIAL")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="a new folder to keep the projects in")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bmix-served-") as temporary:
        for name in given.trials:
            main((given.folder or Path(temporary)).absolute() / name, name)
