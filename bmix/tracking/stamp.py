"""The stamp of the last record that was sent: while it is current there is nothing to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bmix.support.files import write_json
from bmix.tracking.destination import Destination
from bmix.workspace.locked import PARAMS_FILE, digest, load_yaml, locked_stages

STAMP = Path(".bmix/published.json")


def is_current(target: Destination) -> bool:
    """Whether the record at `target` was sent from the params and the locked stages that are on disk now.

    A sqlite record that was deleted is not current. Raises InputError where the stages have not run.
    """
    expected = _expected(target)
    if target.database and not target.database.exists():
        return False
    try:
        return bool(json.loads(STAMP.read_text(encoding="utf-8")) == expected)
    except (OSError, ValueError):
        return False


def write_stamp(target: Destination) -> None:
    """Note that the record at `target` is up to date with the files on disk."""
    write_json(STAMP, _expected(target))


def remove_stamp() -> None:
    """Have the next publish look at the record again."""
    STAMP.unlink(missing_ok=True)


def _expected(target: Destination) -> dict[str, Any]:
    return {
        "params": digest(load_yaml(PARAMS_FILE)),
        "lock": digest(locked_stages()),
        "experiment": target.experiment,
        "uri": target.shown,
        "uri_digest": digest(target.uri),
    }
