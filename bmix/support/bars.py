"""Bars of progress on the terminal, drawn by rich; what is printed meanwhile stands above them."""

from __future__ import annotations

import atexit
import functools
import sys
import threading
from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bars:
    """A bar per key, on stderr; the display begins with the first bar and ends with the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[Hashable, TaskID] = {}
        self._progress: Progress | None = None

    def show(self, key: Hashable, title: str, count: int, total: int, unit: str, left: str) -> None:
        """Draw the bar of `key`: `count` of `total` units are done, and the rest takes `left`."""
        with self._lock:
            if self._progress is None:
                self._progress = _progress()
                self._progress.start()
            if key not in self._rows:
                self._rows[key] = self._progress.add_task(title, total=total, completed=count, unit=unit, left=left)
            self._progress.update(
                self._rows[key], description=title, completed=count, total=total, unit=unit, left=left
            )

    def remove(self, key: Hashable) -> None:
        """Take the bar of `key` away, if it has one."""
        with self._lock:
            row = self._rows.pop(key, None)
            if self._progress is None or row is None:
                return
            self._progress.remove_task(row)
            if not self._rows:
                self._progress.stop()
                self._progress = None

    def remove_all(self) -> None:
        """Take all bars away."""
        for key in list(self._rows):
            self.remove(key)


@functools.cache
def _bars() -> Bars:
    bars = Bars()
    # A process that ends in the middle must not leave the cursor hidden.
    atexit.register(bars.remove_all)
    return bars


def terminal_bars() -> Bars | None:
    """The bars of this process; None where stderr is not a terminal that can draw them, or rich is not installed."""
    if not sys.stderr or not sys.stderr.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return None if Console(stderr=True).is_dumb_terminal else _bars()


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} {task.fields[unit]}", markup=False),
        TextColumn("about {task.fields[left]} left", markup=False),
        console=Console(stderr=True),
        transient=True,
        # Output that goes to a file is not the terminal's.
        redirect_stdout=sys.stdout.isatty(),
    )
