"""A line on stderr every few seconds while many images are worked on."""

from __future__ import annotations

import sys
import time

SECONDS = 5.0
"""Between two lines."""
LONG = 300.0
"""From so many seconds on the time left is told in minutes."""


class Pace:
    """Tells how many of `total` images are `done` ("verified", "cached") and how long the rest will take.

    start: how many were done before; how long the rest takes is judged by those done since.
    """

    def __init__(self, done: str, total: int, start: int = 0) -> None:
        self.done, self.total, self.start = done, total, start
        self._started = self._told = time.monotonic()

    def tell(self, count: int) -> None:
        """Print a line where the last is SECONDS old; `count` images are done."""
        now = time.monotonic()
        if now - self._told >= SECONDS and count > self.start:
            self._told = now
            left = (now - self._started) / (count - self.start) * (self.total - count)
            shown = f"{left:.0f} s" if left < LONG else f"{left / 60:.0f} min"
            print(f"{self.done} {count} of {self.total} images, about {shown} left", file=sys.stderr)
