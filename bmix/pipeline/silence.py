"""A watch over a process that tells how far it is: one that tells nothing for too long is ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Watch:
    """Calls `end_it` once nothing was heard for `seconds`; with None it watches nothing. `end` stops the watch."""

    def __init__(self, seconds: float | None, end_it: Callable[[], None]) -> None:
        self.fell_silent = False
        self._seconds, self._end_it = seconds, end_it
        self._heard = time.monotonic()
        self._over = threading.Event()
        if seconds is not None:
            threading.Thread(target=self._watch, args=(seconds,), daemon=True).start()

    @property
    def told(self) -> str:
        """The patience in words."""
        seconds = self._seconds or 0.0
        return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:g} s"

    def heard(self) -> None:
        """Note a sign of life."""
        self._heard = time.monotonic()

    def end(self) -> None:
        """Stop watching."""
        self._over.set()

    def _watch(self, seconds: float) -> None:
        while not self._over.wait(max(0.05, self._heard + seconds - time.monotonic())):
            if time.monotonic() - self._heard >= seconds:
                self.fell_silent = True
                self._end_it()
                return
