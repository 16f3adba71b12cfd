"""Commands that show results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from bmix.cli.options import choice
from bmix.cli.show import show_result

FORMATS = ("table", "json")
Format = Annotated[
    str,
    choice(FORMATS, "FORMAT", f"{FORMATS[0]} for people, {FORMATS[1]} for programs"),
]


def table() -> None:
    """Show the result of the last run in this folder.

    Example: bmix table
    """
    show_result(Path())


def runs(format: Format = "table") -> None:
    """List the runs with edited params or a name: what differs, mAP, state and folder.

    Example: bmix runs --format json
    """
    from bmix.pipeline.runs import list_runs, render_runs

    found = list_runs()
    print(json.dumps([run.plain() for run in found], indent=2) if format == "json" else render_runs(found))
