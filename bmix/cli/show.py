"""What commands print in the same way."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import TracebackType

from bmix.support.bars import terminal_bars
from bmix.support.pace import EVERY, read_line

_TITLE = re.compile(r"(?:\[(?P<title>[^\]]+)\] )?(?P<line>.*)", re.DOTALL)
_NEXT_STAGE = ("Running stage '", "Stage '")


class Lines:
    """The lines of runs: on a terminal those that tell progress are bars, one per run, below the others.

    A line of several runs begins with the title of its own in brackets. Elsewhere every line is printed, at once.
    """

    def __init__(self) -> None:
        self._bars = terminal_bars()
        self._shown: set[tuple[str, str]] = set()

    def __enter__(self) -> Lines:
        if self._bars:
            # Read by the stages, which write to this process and not to the terminal.
            os.environ.setdefault(EVERY, "0.5")
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._remove("")

    def tell(self, text: str) -> None:
        """Show a line."""
        found = _TITLE.fullmatch(text)
        title, line = (found["title"] or "", found["line"]) if found else ("", text)
        told = read_line(line) if self._bars else None
        if self._bars is None or told is None:
            if line.startswith(_NEXT_STAGE):
                self._remove(title)
            print(text, flush=True)
            return
        key = (title, told.done)
        if told.count >= told.total:
            self._bars.remove(key)
            self._shown.discard(key)
            return
        self._shown.add(key)
        self._bars.show(key, f"{title} {told.done}".strip(), told.count, told.total, told.unit, told.left)

    def _remove(self, title: str) -> None:
        """Take the bars of one run away, or of all."""
        for key in [key for key in self._shown if title in ("", key[0])]:
            if self._bars:
                self._bars.remove(key)
            self._shown.discard(key)


def show_result(folder: Path) -> None:
    """The table of a finished run and where to look further."""
    from bmix.pipeline.table import read_measures, render, where_to_look

    print(f"\n{render({'result': [read_measures(folder)]})}\n\n{where_to_look(folder, record())}")


def record() -> str:
    """The tracking URI of the MLflow record, without its secrets."""
    from bmix.tracking.destination import destination

    return destination().shown
