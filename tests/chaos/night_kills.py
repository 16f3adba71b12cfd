"""`python -m tests.chaos.night_kills [--victim NAME ...]`: nights whose processes get kill -9, and the nights after.

The flow, DVC, the training, Prefect's server and MLflow's, at three moments each, on tiny data: new rows, then a night
until it is hit, and so on; after the third kill a night has to complete. What is served is looked at all the time, and
has to be a whole version whenever it is. Prints the table of docs/retraining.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from bmix.models.calibration import weights_digest
from bmix.retraining.history import NOTHING_NEW, PROMOTED, read_nights
from bmix.retraining.owed import all_owed
from bmix.retraining.versions import CHAMPION, VERSIONS
from bmix.support.files import read_json
from bmix.tracking.champion import REGISTERED
from tests.helpers.daemons import Daemon, mlflow_daemon, prefect_daemon
from tests.helpers.nights import make_growing_project, write_rows
from tests.helpers.projects import HANG_SECONDS

EDITS = ("training.epochs=12", "training.warmup_epochs=6", "retrain.gate_model=false")
SERVERS = ("Prefect's server", "MLflow's server")
VICTIMS = ("the flow", "DVC", "the training", *SERVERS)
SECONDS_AWAY = 5
"""How long a server stays away before it is started again."""


def at_stage(name: str) -> tuple[str, Callable[[Chaos], bool]]:
    """The moment at which a stage has started."""
    return f"{name} starts", lambda chaos: chaos.stage_process(name) is not None


def after_epoch(stage: str, epoch: int) -> tuple[str, Callable[[Chaos], bool]]:
    """The moment at which the checkpoint of an epoch is there."""

    def there(chaos: Chaos) -> bool:
        found = chaos.folder.glob(f".bmix/checkpoints/{stage}-*/epoch-*")
        return any(int(path.name[6:]) >= epoch for path in found if path.stat().st_mtime > chaos.since)

    return f"epoch {epoch}", there


def at_promotion() -> tuple[str, Callable[[Chaos], bool]]:
    """The moment at which the new version's folder is being written."""
    return "the promotion", lambda chaos: len(list((chaos.folder / VERSIONS).iterdir())) > chaos.versions


MOMENTS = {
    "the flow": (at_stage("prepare"), after_epoch("warmup", 3), at_promotion()),
    "DVC": (at_stage("prepare"), after_epoch("warmup", 3), at_stage("evaluate")),
    "the training": (at_stage("warmup"), after_epoch("warmup", 3), after_epoch("train", 8)),
    "Prefect's server": (at_stage("prepare"), after_epoch("warmup", 3), at_stage("publish")),
    "MLflow's server": (at_stage("prepare"), after_epoch("warmup", 3), at_stage("publish")),
}


@dataclass
class Chaos:
    """The project, its servers, and what came of the kills."""

    folder: Path
    environment: dict[str, str]
    servers: dict[str, Daemon]
    api: str
    since: float = 0.0
    versions: int = 0
    faults: list[str] = field(default_factory=list)

    def night(self, tracked: bool) -> subprocess.Popen[bytes]:
        """Start a night by hand; without MLflow it takes half the time."""
        environment = self.environment | ({} if tracked else {"BMIX_TRACKING": "off"})
        with Path("nights.log").open("ab") as log:
            command = [sys.executable, "-m", "flows.retrain", "--once"]
            return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def stage_process(self, name: str) -> psutil.Process | None:
        """The process of a stage in a candidate's copy."""
        return next(self._processes(lambda command: f"stages.{name}" in command), None)

    def kill(self, victim: str, night: subprocess.Popen[bytes]) -> None:
        """kill -9, of what is there of the victim."""
        if victim in self.servers:
            self.servers[victim].kill()
            time.sleep(SECONDS_AWAY)
            self.servers[victim].start()
        elif victim == "the flow":
            night.kill()
        elif victim == "DVC":
            self._kill_all(lambda command: "dvc" in command and "repro" in command)
        else:
            self._kill_all(lambda command: bool({"stages.warmup", "stages.train"} & set(command)))

    def states(self, count: int) -> list[str]:
        """The states of the last flow runs at Prefect's server, the first of them first."""
        query = {"sort": "EXPECTED_START_TIME_DESC", "limit": count}
        found = httpx.post(f"{self.api}/flow_runs/filter", json=query, timeout=60).json()
        return [run["state_name"] for run in reversed(found)]

    def _kill_all(self, fits: Callable[[list[str]], bool]) -> None:
        for process in list(self._processes(fits)):
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)

    def _processes(self, fits: Callable[[list[str]], bool]) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            try:
                if fits(process.cmdline()) and Path(process.cwd()).parent == self.folder / ".bmix/runs":
                    yield process
            except psutil.Error:
                continue


@contextlib.contextmanager
def champion_watched() -> Iterator[list[str]]:
    """Look at what is served some ten times a second; the faults that were found, of which there should be none."""
    faults: list[str] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.1):
            # By way of the folder that the link names now: it may name another one a moment later.
            folder = VERSIONS / CHAMPION.readlink().name
            try:
                if weights_digest(folder / "model.safetensors") != read_json(folder / "version.json")["weights"]:
                    faults.append(f"{folder} holds other weights than its note says")
            except (OSError, ValueError, KeyError) as error:
                faults.append(f"{folder}: {error}")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield faults
    finally:
        ended.set()
        thread.join()


@dataclass
class Nights:
    """The nights on one set of new rows: where each one's lines begin in nights.log, and which kill hit which."""

    begins: list[int] = field(default_factory=list)
    kills: list[tuple[str, int]] = field(default_factory=list)


def disturb(chaos: Chaos, victim: str, rows: int) -> list[list[str]]:
    """New rows, and nights with a kill at each moment, until one is left to complete; a row of the table for each kill.

    A night that goes on after a kill meets the next one; where it ended, the next night does.
    """
    write_rows(chaos.folder, rows)
    chaos.since, chaos.versions = time.time(), len(list(VERSIONS.iterdir()))
    known, nights = len(read_nights()), Nights()

    def start() -> subprocess.Popen[bytes]:
        nights.begins.append(Path("nights.log").stat().st_size)
        return chaos.night(tracked=victim == SERVERS[1])

    with champion_watched() as faults:
        night = start()
        for name, there in MOMENTS[victim]:
            if night.poll() is not None:
                night = start()
            while not there(chaos):
                if night.poll() is not None:
                    # What an earlier kill hit, it felt only now.
                    if len(nights.begins) > len(MOMENTS[victim]):
                        raise SystemExit(f"error: {victim}: no night came to {name}; see {chaos.folder}/nights.log")
                    night = start()
                time.sleep(0.01)
            nights.kills.append((name, len(nights.begins) - 1))
            chaos.kill(victim, night)
            if victim == "the flow":
                night.wait(HANG_SECONDS)
        if night.wait(HANG_SECONDS):
            start().wait(HANG_SECONDS)
    records = read_nights()[known:]
    results = [record.result for record in records]
    chaos.faults += faults
    if len(records) != len(nights.begins) or results[-1] not in (PROMOTED, NOTHING_NEW):
        chaos.faults.append(f"{victim}: {', '.join(results)}")
    log = Path("nights.log").read_bytes()
    parts = [
        log[first:last].decode(errors="replace")
        for first, last in zip(nights.begins, [*nights.begins[1:], len(log)], strict=True)
    ]
    states = chaos.states(len(parts))
    table = []
    for name, number in nights.kills:
        after = [_went_on(part) for part in parts[number + 1 : number + 2]]
        table.append([victim, name, results[number], states[number], *(after or ["the night itself went on"])])
        print(" · ".join(table[-1]), flush=True)
    print(f"{victim}: the last night was {results[-1]} ({states[-1]})", flush=True)
    return table


def see_that_mlflow_knows(chaos: Chaos) -> None:
    """Look whether MLflow's alias is at what is served, after another night if it was owed anything."""
    missed = [note.told for note in all_owed()]
    if missed:
        chaos.night(tracked=True).wait(HANG_SECONDS)
    address = f"{chaos.environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/registered-models/alias"
    found = httpx.get(address, params={"name": REGISTERED, "alias": "champion"}, timeout=60).json()
    tags = {tag["key"]: tag["value"] for tag in found.get("model_version", {}).get("tags", [])}
    served = CHAMPION.readlink().name
    print(f"MLflow had missed {', '.join(missed) or 'nothing'}; its champion is version {tags.get('bmix.version')}")
    if all_owed() or int(tags.get("bmix.version", 0)) != int(served):
        chaos.faults.append(f"MLflow's champion is version {tags.get('bmix.version')}, and {served} is served")


def _went_on(log: str) -> str:
    """What a night took over from the one before, by what it printed."""
    epoch = re.search(r"goes on after epoch (\d+)", log)
    taken = [name for name in ("prepare", "noise", "audit", "warmup", "train", "evaluate") if _taken(log, name)]
    parts = [", ".join(taken), f"epochs up to {epoch[1]}" if epoch else ""]
    return "; ".join(part for part in parts if part) or "nothing: it was at its beginning"


def _taken(log: str, stage: str) -> bool:
    return f"Stage '{stage}' didn't change" in log or f"Stage '{stage}' is cached" in log


def table(rows: list[list[str]]) -> str:
    """The kills as a table of Markdown."""
    head = ["killed", "when", "that night was", "in Prefect", "the next night took over"]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def main(folder: Path, victims: list[str]) -> int:
    """All kills of the victims in the project in `folder`, which is made if it is not there; the number of faults."""
    goes_on = folder.exists()
    if not goes_on:
        make_growing_project(folder, 300, *EDITS)
    os.chdir(folder)
    prefect, api = prefect_daemon(folder)
    mlflow, address = mlflow_daemon(folder / "tracking")
    environment = {
        **os.environ,
        "PREFECT_HOME": str(folder / ".prefect"),
        "PREFECT_API_URL": api,
        "MLFLOW_TRACKING_URI": address,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    }
    chaos = Chaos(folder.resolve(), environment, dict(zip(SERVERS, (prefect, mlflow), strict=True)), api)
    rows: list[list[str]] = []
    try:
        prefect.start()
        if not goes_on and chaos.night(tracked=False).wait(HANG_SECONDS):
            raise SystemExit(f"error: the first night did not promote; see {folder}/nights.log")
        for victim in victims:
            if victim == SERVERS[1]:
                mlflow.start()
            rows += disturb(chaos, victim, 310 + 10 * len(read_nights()))
            if victim == SERVERS[1]:
                see_that_mlflow_knows(chaos)
    finally:
        for server in chaos.servers.values():
            server.stop()
        print(f"\n{table(rows)}\n", flush=True)
    print(f"{len(rows)} kills; served and looked at all the time: {len(chaos.faults)} faults")
    for fault in chaos.faults:
        print(fault)
    return len(chaos.faults)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--victim", nargs="+", choices=VICTIMS, default=list(VICTIMS), metavar="NAME")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="for the project; one that is there goes on")
    given = parser.parse_args()
    if given.folder:
        sys.exit(min(main(given.folder.absolute(), given.victim), 1))
    with tempfile.TemporaryDirectory(prefix="bmix-night-kills-") as temporary:
        sys.exit(min(main(Path(temporary) / "project", given.victim), 1))
