"""`python -m tests.chaos.kills [--kills N] [--seed S]`: a pipeline that is killed again and again.

`python -m bmix repro` is started on an empty project; at a random moment the command, DVC, the stage, or all of them
get SIGKILL, SIGTERM or SIGINT; and so on, until it comes to its end. Its outputs have to equal those of an undisturbed
run byte for byte. Prints a line for each kill, and the figures.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.helpers.projects import ENVIRONMENT, copy_project, make_project, run
from tests.pipeline.test_equal_results import OUTPUTS, contents, remove

VICTIMS = ("command", "dvc", "stage", "all")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
BUSY, REPAIRED = "another run of this pipeline is at work", ("rwlock was left", "rwlock named", "dvc.lock was left")
HANG_SECONDS = 1800
"""After this long a command that nobody disturbs any more is taken for stuck."""


@dataclass
class Figures:
    """What the kills came to."""

    kills: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    busy: int = 0
    repairs: int = 0
    tracebacks: int = 0
    equal: bool = False

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kills.items()))
        parts = [
            f"{self.kills.total()} kills ({kinds})",
            f"{self.finished} runs that ended before their kill",
            f"{self.busy} starts beside a DVC that lived on",
            f"{self.repairs} repairs of DVC's files",
            f"{self.tracebacks} tracebacks",
            f"outputs {'equal byte for byte' if self.equal else 'DIFFER'}",
        ]
        return "; ".join(parts)


def disturb(finished: Path, folder: Path, kills: int, seed: int, seconds: float) -> Figures:
    """Kill runs of an empty copy of the finished project, each within `seconds` of its start; then let one end."""
    chance, figures = random.Random(seed), Figures()
    project = _empty(finished, folder)
    while figures.kills.total() < kills:
        process = _start(project)
        time.sleep(chance.uniform(0.3, seconds))
        if process.poll() is None:
            kind = _kill(process, chance)
            if kind:
                figures.kills[kind] += 1
                print(f"{figures.kills.total():>4}  {kind}", flush=True)
        output = _end(process)
        figures.repairs += sum(mark in output for mark in REPAIRED)
        figures.tracebacks += "Traceback (most recent call last)" in output
        figures.busy += BUSY in output
        if process.returncode == 0:
            figures.finished += 1
            remove(project, OUTPUTS)
            for name in ("dvc.lock", ".dvc/cache", ".bmix"):
                shutil.rmtree(project / name, ignore_errors=True)
                (project / name).unlink(missing_ok=True)
    # What outlives its parents is still writing.
    _wait_for_orphans(project)
    ended = run(project, "-m", "bmix", "repro")
    figures.repairs += sum(mark in ended.stdout for mark in REPAIRED)
    figures.equal = ended.returncode == 0 and contents(project, OUTPUTS) == contents(finished, OUTPUTS)
    if ended.returncode:
        print(ended.stdout)
    return figures


def _empty(finished: Path, folder: Path) -> Path:
    copy_project(finished, folder)
    remove(folder, [*OUTPUTS, "dvc.lock"])
    shutil.copy2(finished / ".dvc/config", folder / ".dvc/config")
    return folder


def _start(project: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bmix", "repro"],
        cwd=project,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=_take_interrupts,
    )


def _take_interrupts() -> None:
    """A shell leaves SIGINT ignored for what it starts in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _kill(process: subprocess.Popen[str], chance: random.Random) -> str:
    """Send a signal to one of the processes of a run, or to all; its name, empty where it was gone already."""
    victim, number = chance.choice(VICTIMS), chance.choice(SIGNALS)
    try:
        own = psutil.Process(process.pid)
        below = own.children(recursive=True)
        dvc = [child for child in below if "dvc" in child.cmdline()]
        stage = [child for child in below if any(part.startswith("stages.") for part in child.cmdline())]
    except psutil.Error:
        return ""
    chosen = {"command": [own], "dvc": dvc, "stage": stage, "all": [own, *below]}[victim]
    for one in chosen:
        with contextlib.suppress(psutil.Error):
            one.send_signal(number)
    return f"{number.name} to {victim}" if chosen else ""


def _end(process: subprocess.Popen[str]) -> str:
    try:
        return process.communicate(timeout=HANG_SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def _wait_for_orphans(project: Path) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while any(_works_in(process, project) for process in psutil.process_iter()) and time.monotonic() < deadline:
        time.sleep(0.5)


def _works_in(process: psutil.Process, project: Path) -> bool:
    try:
        return process.cwd() == str(project.resolve()) and process.pid != os.getpid()
    except psutil.Error:
        return False


def main() -> int:
    """Read the command line, kill, print the figures; 1 where the outputs differ or a traceback was seen."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=60, metavar="N", help="in all (60)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the moments and the victims (0)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        finished = make_project(Path(folder) / "finished")
        started = time.monotonic()
        ended = run(finished, "-m", "bmix", "repro")
        if ended.returncode:
            sys.exit(ended.stdout)
        seconds = time.monotonic() - started
        figures = disturb(finished, Path(folder) / "killed", arguments.kills, arguments.seed, seconds)
    print(figures)
    return int(not figures.equal or figures.tracebacks > 0)


if __name__ == "__main__":
    sys.exit(main())
