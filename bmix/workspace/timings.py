"""What a stage leaves beside its outputs: how long it took, and how it failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from bmix.support.errors import InputError
from bmix.support.files import read_json, write_json
from bmix.support.secrets import without_secrets
from bmix.workspace.locked import PARAMS_FILE, digest, load_yaml, locked_entries
from bmix.workspace.pipeline_file import lasting_stages

TIMINGS = Path(".bmix/timings")
FAILURES = Path(".bmix/failures")

# Wrong input and wrong code fail the second time too; what is not known to be of that kind may pass.
_WRONG_VALUE = (ValueError, TypeError, LookupError, AttributeError, ImportError, ArithmeticError, AssertionError)
_WRONG_FILE = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError)


@contextmanager
def stage_timing(stage: str) -> Iterator[None]:
    """Time a stage and note its failure: all that a stage does runs inside `with stage_timing("train"):`.

    Writes `.bmix/timings/STAGE.json`: `started` (ISO 8601, UTC), `seconds`, `status` (finished, failed, interrupted),
    `epochs` (see note_epochs) and `situation`, which tells a later reader what the stage ran on. An exception passes
    through and leaves `.bmix/failures/STAGE.json`: `stage`, `message`, and `retry`, whether a second try can pass. Both
    files are removed when the stage starts. Neither is an output of DVC.
    """
    timing, failure = TIMINGS / f"{stage}.json", FAILURES / f"{stage}.json"
    timing.unlink(missing_ok=True)
    failure.unlink(missing_ok=True)
    started, start, situation = datetime.now(UTC), perf_counter(), stage_situation(stage)
    status = "failed"
    try:
        with failure_noted(stage):
            yield
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        epochs = (_read(timing) or {}).get("epochs", [])
        seconds = round(perf_counter() - start, 3)
        content = {"started": started.isoformat(), "seconds": seconds, "status": status, "epochs": epochs}
        # A disk that is full must not hide the error that says so.
        with suppress(OSError):
            write_json(timing, {**content, "situation": situation})


@contextmanager
def failure_noted(stage: str, replace: bool = False) -> Iterator[None]:
    """Let an exception pass through, and leave it in `.bmix/failures/STAGE.json`; `replace`: where one is there too."""
    failure = FAILURES / f"{stage}.json"
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        message = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        message = "interrupted" if isinstance(error, KeyboardInterrupt) else message
        # Names of files may hold bytes that are not text.
        message = without_secrets(message.encode("utf-8", "backslashreplace").decode())
        if replace or not failure.exists():
            with suppress(OSError):
                write_json(failure, {"stage": stage, "message": message, "retry": can_pass_on_second_try(error)})
        raise


def note_epochs(stage: str, seconds: Sequence[float]) -> None:
    """Keep the seconds of each epoch that this run of a stage trained; called inside its stage_timing."""
    write_json(TIMINGS / f"{stage}.json", {"status": "running", "epochs": [round(value, 3) for value in seconds]})


def can_pass_on_second_try(error: BaseException) -> bool:
    """True for what the machine did (disk, memory, GPU) and for the unknown; false for wrong input and wrong code."""
    if isinstance(error, KeyboardInterrupt):
        return False
    if isinstance(error, OSError):
        return not isinstance(error, _WRONG_FILE)
    return not isinstance(error, _WRONG_VALUE)


def stage_situation(stage: str) -> str | None:
    """A digest of the params and of what DVC locked of the stages before this one; None where these cannot be read.

    Equal at the start of a stage and when its outputs are recorded, if they were made by that run.
    """
    try:
        params = load_yaml(PARAMS_FILE)
        locked = locked_entries()
        stages = lasting_stages()
    except (OSError, InputError):
        return None
    before = stages[: stages.index(stage)] if stage in stages else stages
    return digest([params, [locked.get(name) for name in before]])


def read_timing(stage: str) -> dict[str, Any] | None:
    """The timing of the run that made the stage's present outputs; None where they were cached or restored."""
    timing = _read(TIMINGS / f"{stage}.json") or {}
    if timing.get("status") != "finished" or not isinstance(timing.get("epochs"), list):
        return None
    return timing if timing.get("situation") in {stage_situation(stage)} - {None} else None


def _read(path: Path) -> dict[str, Any] | None:
    """A note of ours; None where there is none that can be read, since no result depends on it."""
    try:
        content = read_json(path)
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
