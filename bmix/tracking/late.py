"""The record of a run, sent after its pipeline has ended: by the stage publish of the code that the run has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bmix.pipeline.repro import stage_environment
from bmix.support import console
from bmix.support.errors import InputError
from bmix.support.secrets import without_secrets
from bmix.tracking.destination import Destination
from bmix.tracking.stamp import parent_of

PATIENCE = 10 * 60
"""Seconds that sending one record may take."""


def send_late(folder: Path, home: Path, target: Destination) -> str:
    """Send the record of the run in a folder, unless it was sent; the id of its parent run.

    home: the project's folder .bmix. InputError if the files in the folder make no record, OSError if it did not
    arrive.
    """
    if sent := parent_of(folder, target):
        return sent
    command = [sys.executable, "-m", "stages.publish"]
    variables = stage_environment() | {"BMIX_HOME": str(home.resolve())}
    try:
        done = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, errors="replace", timeout=PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"sending the record of {folder} took longer than {PATIENCE // 60} minutes") from error
    if sent := parent_of(folder, target):
        return sent
    told = without_secrets(done.stderr).strip()
    if done.returncode == console.EXIT_INPUT:
        raise InputError(str(folder), f"makes no record: {told}", "the outputs of a finished run", "run it again")
    # The first line of a warning, the last one of a traceback.
    lines = told.splitlines() or [f"publish ended with status {done.returncode}"]
    raise OSError(lines[0 if done.returncode == 0 else -1].removeprefix("warning: "))
