"""A line on stderr every few seconds while many images are worked on."""

from __future__ import annotations

import sys
import time

SECONDS = 5.0
"""Between two lines."""


class Pace:
    """Tells how many of `total` images are `done` ("verified", "cached") and how long the rest will take."""

    def __init__(self, done: str, total: int) -> None:
        self.done, self.total = done, total
        self._started = self._told = time.monotonic()

    def tell(self, count: int) -> None:
        """Print a line where the last is SECONDS old; `count` images are done."""
        now = time.monotonic()
        if now - self._told >= SECONDS and count:
            self._told = now
            left = (now - self._started) / count * (self.total - count)
            print(f"{self.done} {count} of {self.total} images, about {left:.0f} s left", file=sys.stderr)
