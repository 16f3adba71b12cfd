"""A mark while a night is at work: one that is found by the next night was left by a process that was killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bmix.retraining.history import DIED, NightRecord, add_night
from bmix.retraining.inputs import OWN
from bmix.support.files import read_json, write_json

_MARK = OWN / "working.json"


@contextmanager
def mark_of_work(night: str, run: str = "") -> Iterator[None]:
    """Leave a mark while the block runs. run: what the caller knows the night by, to be read if the process dies."""
    write_json(_MARK, {"night": night, "process": os.getpid(), "run": run})
    try:
        yield
    finally:
        _MARK.unlink(missing_ok=True)


def clear_dead_mark() -> dict[str, Any] | None:
    """Record a night whose process was killed as such, and give its mark; None if there is none.

    To be called by whoever holds the lock of the nights.
    """
    try:
        mark = dict(read_json(_MARK))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        mark = {}
    if "night" in mark:
        reason = f"process {mark.get('process')} was killed, or the machine went down"
        add_night(NightRecord(str(mark["night"]), DIED, reason))
    _MARK.unlink(missing_ok=True)
    return mark
