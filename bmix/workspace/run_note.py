"""What a copy of the project is for: its name, if a person gave it one, and its params as they were asked for."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bmix.support.files import write_json

RUN_NOTE = Path(".bmix/run.json")


@dataclass(frozen=True)
class RunNote:
    """The note in a copy: `name`, or "" for a copy named by its params, which are held under their dotted keys."""

    name: str
    params: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write the note into a copy, unless it is there."""
        if read_note(folder) != self:
            write_json(folder / RUN_NOTE, asdict(self))


def read_note(folder: Path = Path()) -> RunNote | None:
    """The note of the copy in `folder`; None if there is none, or none that can be read."""
    try:
        content = json.loads((folder / RUN_NOTE).read_text(encoding="utf-8"))
        return RunNote(str(content["name"]), dict(content["params"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def given_name() -> str:
    """The name that a person gave the run in this folder, or ""."""
    note = read_note()
    return note.name if note else ""
