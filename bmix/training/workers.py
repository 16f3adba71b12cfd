"""The processes of torch's DataLoader, watched: if one dies or is stuck, the wait for it ends with a message.

torch's own watch is a handler of SIGCHLD, which raises in the middle of whatever the main thread does at the moment,
and again while the error is dealt with. Here it is in place only while an item is waited for.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils.data import DataLoader

CHECK_SECONDS = 5
"""How often a wait looks whether the processes live, where no signal says so."""

_handler: Callable[[int, Any], Any] | None = None
"""torch's, which it installs once in a process."""


def watched_items(loader: DataLoader[Any], patience: float, remedy: str) -> Iterator[Any]:
    """The items of a loader with processes, which has `timeout` CHECK_SECONDS.

    remedy: the end of each message. ChildProcessError if a process died, TimeoutError if none gave anything for
    `patience` seconds, OSError if this process may not open more files.
    """
    items = _started(loader)
    while True:
        try:
            yield _next(items, patience)
        except StopIteration:
            return
        except (RuntimeError, ConnectionError, EOFError, FileNotFoundError) as error:
            found = _found(error, patience)
            if found is None:
                raise
            kind, text = found
            raise kind(None, f"{text}\n  fix: {remedy}") from error


def _started(loader: DataLoader[Any]) -> Iterator[Any]:
    global _handler
    before = signal.getsignal(signal.SIGCHLD)
    items = iter(loader)
    after = signal.getsignal(signal.SIGCHLD)
    if after is not before and callable(after):
        _handler = after
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)
    return items


def _next(items: Iterator[Any], patience: float) -> Any:
    started = time.monotonic()
    while True:
        try:
            with _watch():
                return next(items)
        except RuntimeError as error:
            if not str(error).startswith("DataLoader timed out") or time.monotonic() - started >= patience:
                raise


@contextmanager
def _watch() -> Iterator[None]:
    if _handler is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGCHLD, _handler)
    try:
        # For what has died since the last item.
        _handler(signal.SIGCHLD, None)
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)


def _found(error: Exception, patience: float) -> tuple[type[OSError], str] | None:
    """The kind of error and its message; None for one that is not about the processes."""
    text = str(error)
    if "in DataLoader worker process" in text:
        # An item's own.
        return None
    if text.startswith("DataLoader timed out"):
        found = f"the loader processes gave nothing for {patience:g} seconds"
        return TimeoutError, f"{found}\n  expected: a disk that answers"
    if text.startswith("Too many open files"):
        return OSError, "the loader processes need more open files\n  expected: room in `ulimit -n`"
    # A process that dies while its tensors are fetched breaks the connection to it.
    if text.startswith("DataLoader worker (pid") or not isinstance(error, RuntimeError):
        process = text.partition(". ")[0].removeprefix("DataLoader worker ")
        return ChildProcessError, f"a loader process ended: {process}\n  expected: memory for all of them"
    return None
