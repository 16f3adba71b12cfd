"""One `dvc repro` as a subprocess: its lines as they come, and for each stage whether it ran."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bmix.pipeline.dvc_state import RWLOCK, dvc_at_work, has_conflict, repair, repair_rwlock
from bmix.pipeline.silence import Watch
from bmix.support.secrets import without_secrets

State = Literal["ran", "cached", "restored"]

TELEMETRY_OFF = {
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}

_STATES: tuple[tuple[re.Pattern[str], State], ...] = (
    (re.compile(r"^Stage '(?P<stage>[\w@.-]+)' didn't change, skipping"), "cached"),
    (re.compile(r"^Stage '(?P<stage>[\w@.-]+)' is cached - skipping run"), "restored"),
    (re.compile(r"^Running stage '(?P<stage>[\w@.-]+)':"), "ran"),
)
_FAILED = re.compile(r"failed to reproduce '(?P<stage>[\w@.-]+)'(: (?P<reason>.*))?")
_BUSY = ("is busy, it is being blocked by", "Unable to acquire lock")
# On remote storage and on git, after every stage: the README says it once.
_ADVICE = (
    "Use `dvc push`",
    "To track the changes with git",
    "git add ",
    "To enable auto staging",
    "dvc config core.auto",
)
_LINES_TOLD = 15
_SECONDS_TO_STOP = 10
# Processes that were killed hold DVC's locks for a moment longer.
_SECONDS_TO_LET_GO = 1

_running: set[subprocess.Popen[str]] = set()
_stopping = threading.Event()


class PipelineError(RuntimeError):
    """A stage failed, or DVC did; `retry` where the same command can pass on a second try."""

    def __init__(self, message: str, *, stage: str | None = None, retry: bool = False) -> None:
        self.stage, self.retry = stage, retry
        super().__init__(message)


@dataclass
class Progress:
    """What the lines of a `dvc repro` have told so far."""

    states: dict[str, State] = field(default_factory=dict)
    failed: str | None = None
    at_work: str = ""
    reason: str = "see its output above"
    busy: bool = False

    def read(self, line: str) -> None:
        """Take in one line of DVC's output."""
        for pattern, state in _STATES:
            if found := pattern.match(line):
                self.states[found["stage"]] = state
                self.at_work = f"stage {found['stage']}"
        if found := _FAILED.search(line):
            self.failed, self.reason = found["stage"], found["reason"] or self.reason
        self.busy = self.busy or any(mark in line for mark in _BUSY)


@dataclass(frozen=True)
class _Ended:
    """How one `dvc repro` ended: its exit status, negative by the signal that ended it, and what it said."""

    status: int
    progress: Progress
    last_lines: list[str]


def reproduce(
    folder: Path = Path(),
    stage: str | None = None,
    tell: Callable[[str], None] = print,
    environment: dict[str, str] | None = None,
    silence: float | None = None,
) -> dict[str, State]:
    """Bring the project in `folder` up to date, or one stage of it alone; the state of every stage met, in DVC's order.

    `ran`: the command was run. `cached`: nothing had changed. `restored`: the outputs were taken from the cache. `tell`
    gets each line of output as it comes. silence: seconds without a line after which DVC and its stage are ended; None:
    never. PipelineError where a stage or DVC failed, or fell silent. When the caller is interrupted, the stage is
    stopped too.
    """
    command = [sys.executable, "-m", "dvc", "repro", *(["--single-item", stage] if stage else [])]
    variables = stage_environment() | (environment or {})
    failures = folder / ".bmix" / "failures"
    for old in failures.glob("*.json"):
        old.unlink(missing_ok=True)
    for line in repair_rwlock(folder):
        tell(line)
    ended = _run(command, folder, variables, tell, silence)
    # What was stopped for good left locks behind too: mended, it would be started again.
    if ended.status != 0 and not _stopping.wait(_SECONDS_TO_LET_GO if ended.progress.busy else 0):
        repaired = repair(folder, ended.last_lines)
        for line in repaired:
            tell(line)
        if repaired or ended.progress.busy:
            ended = _run(command, folder, variables, tell, silence)
    if ended.status != 0:
        raise _explain(ended, _read_failure(failures, ended.progress.failed), folder)
    return ended.progress.states


def _run(
    command: list[str],
    folder: Path,
    variables: dict[str, str],
    tell: Callable[[str], None],
    silence: float | None = None,
) -> _Ended:
    progress, last_lines = Progress(), deque[str](maxlen=_LINES_TOLD)
    if _stopping.is_set():
        raise PipelineError("no stage is started any more: the command is being ended")
    with subprocess.Popen(
        command,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        process_group=0,
    ) as process:
        assert process.stdout is not None
        _running.add(process)
        if _stopping.is_set():
            _stop(process)
        watch = Watch(silence, lambda: _stop(process))
        try:
            for line in process.stdout:
                watch.heard()
                text = without_secrets(line.rstrip("\n"))
                progress.read(text)
                advice = text.strip().startswith(_ADVICE)
                if not advice and (text or not last_lines or last_lines[-1]):
                    last_lines.append(text)
                    tell(text)
        except BaseException:
            _stop(process)
            # DVC may have been writing this very moment.
            with contextlib.suppress(OSError):
                repair_rwlock(folder)
            raise
        finally:
            watch.end()
            _running.discard(process)
    if watch.fell_silent:
        raise PipelineError(
            f"no line from {progress.at_work or 'dvc'} for {watch.told}, so that it was ended{_where(folder)}\n"
            "  to go on: find out what it waits for, and run the same command again; a training goes on from its last "
            "finished epoch"
        )
    return _Ended(process.returncode, progress, list(last_lines))


def stop_running() -> None:
    """Stop every `dvc repro` that this process started, with its stage, for good; for a caller whose threads wait."""
    _stopping.set()
    for process in list(_running):
        _stop(process)


def stage_environment() -> dict[str, str]:
    """The environment of a `dvc repro`: `python` is the running one, nothing is sent home, output is UTF-8 at once."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, **TELEMETRY_OFF, "PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


def shown_command(program: str, action: str, folder: Path = Path()) -> str:
    """A command of this environment as a person types it here, paths quoted for a shell: DVC's elsewhere with --cd.

    action: as it is typed, quoted by the caller.
    """
    own = Path(sys.executable).parent / program
    if shutil.which(program) == str(own):
        path = program
    else:
        path = str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)
    elsewhere = "" if folder == Path() else f" --cd {shlex.quote(str(folder))}"
    return f"{shlex.quote(path)} {action}{elsewhere}"


def _stop(process: subprocess.Popen[str]) -> None:
    # DVC alone would leave the stage running; both are in a group of their own.
    for kind in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        try:
            process.wait(_SECONDS_TO_STOP)
            return
        except subprocess.TimeoutExpired:
            continue


def _where(folder: Path) -> str:
    return "" if folder == Path() else f" in {folder}"


def _read_failure(failures: Path, stage: str | None) -> dict[str, Any] | None:
    try:
        return json.loads((failures / f"{stage}.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None


def _explain(ended: _Ended, failure: dict[str, Any] | None, folder: Path) -> PipelineError:
    progress = ended.progress
    where = _where(folder)
    if any("RWLock-file" in line for line in ended.last_lines) and (others := dvc_at_work(folder)):
        return PipelineError(
            f"{RWLOCK}{where}, in which DVC notes who reads and writes, is unreadable, and a DVC is at work there: "
            f"process {', '.join(map(str, others))}\n  fix: wait until it has ended, or end it, and try again",
            retry=True,
        )
    if progress.busy:
        return PipelineError(
            f"another run of this pipeline is at work{where}: DVC lets one at a time change its outputs.\n"
            "  fix: wait until it has ended; if none is running, try again",
            retry=True,
        )
    if progress.failed is None and ended.status < 0:
        name = signal.Signals(-ended.status).name
        return PipelineError(f"dvc was ended by {name}{where}\n  to go on: run the same command again")
    if progress.failed is None:
        told = "\n".join(f"  {line}" for line in ended.last_lines)
        remedy = ""
        if "not inside of a DVC repository" in told:
            remedy = "\n  fix: run the command in the clone of the project, which holds the folder .dvc"
        if "is not a git repository" in told:
            setting = shown_command("dvc", "config --local core.no_scm true", folder)
            remedy = f"\n  fix: clone the project with git, or have DVC do without: {setting}"
        if has_conflict(folder):
            remedy = "\n  fix: settle the merge in dvc.lock, e.g. with git checkout --ours dvc.lock"
        return PipelineError(f"dvc repro failed{where}:\n{told}{remedy}")
    stage = progress.failed
    reason = failure["message"] if failure else progress.reason
    return PipelineError(
        f"stage {stage} failed{where}: {reason}\n"
        f"  to go on: mend it and run the same command again; stages that are done are not run again\n"
        f"  to have the last good outputs back instead: {shown_command('dvc', 'checkout --force', folder)}",
        stage=stage,
        retry=bool(failure and failure.get("retry")),
    )
