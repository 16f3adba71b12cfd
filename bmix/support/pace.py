"""How far long work has come: a line on stderr every few seconds, or a bar where stderr is a terminal."""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass
from types import TracebackType

from bmix.support.bars import Bars, terminal_bars

SECONDS = 5.0
"""Between two lines."""
EVERY = "BMIX_PROGRESS_SECONDS"
"""Names other seconds between two lines; set by a command that draws the lines of its stages as bars."""
LONG = 300.0
"""From so many seconds on the time left is told in minutes."""

_LINE = re.compile(r"(?P<done>[a-z][a-z ]*) (?P<count>\d+) of (?P<total>\d+) (?P<unit>[a-z]+), about (?P<left>.+) left")


@dataclass(frozen=True)
class Told:
    """What a line of progress says, e.g. `verified 320 of 5011 images, about 12 s left`."""

    done: str
    count: int
    total: int
    unit: str
    left: str

    def __str__(self) -> str:
        return f"{self.done} {self.count} of {self.total} {self.unit}, about {self.left} left"


def read_line(line: str) -> Told | None:
    """What a line tells of progress; None for any other line."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    return Told(found["done"], int(found["count"]), int(found["total"]), found["unit"], found["left"])


def duration(seconds: float) -> str:
    """Seconds, or minutes, as people say them."""
    return f"{seconds:.0f} s" if seconds < LONG else f"{seconds / 60:.0f} min"


class Pace:
    """Tells how many of `total` units are `done` ("verified", "cached") and how long the rest will take.

    start: how many were done before; how long the rest takes is judged by those done since. seconds: between two lines.
    `with Pace(...) as pace:` removes the bar at the end.
    """

    def __init__(
        self, done: str, total: int, start: int = 0, unit: str = "images", seconds: float | None = None
    ) -> None:
        self.done, self.total, self.start, self.unit = done, total, start, unit
        self._seconds = float(os.environ.get(EVERY) or (SECONDS if seconds is None else seconds))
        self._started = self._told = time.monotonic()
        self._spoke = False
        self._bars: Bars | None = None

    def __enter__(self) -> Pace:
        self._bars = terminal_bars()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if self._bars:
            self._bars.remove(self)

    def at(self, count: int) -> Told:
        """What is told when `count` units are done."""
        elapsed = time.monotonic() - self._started
        left = elapsed / max(count - self.start, 1) * (self.total - count)
        return Told(self.done, count, self.total, self.unit, duration(left))

    def tell(self, count: int) -> None:
        """Move the bar, or print a line where the last is old or was not the last one; `count` units are done."""
        if count <= self.start:
            return
        if self._bars:
            self._bars.show(self, self.done, count, self.total, self.unit, self.at(count).left)
            return
        now = time.monotonic()
        if now - self._told >= self._seconds or (self._spoke and count >= self.total):
            self._told, self._spoke = now, True
            print(self.at(count), file=sys.stderr, flush=True)
