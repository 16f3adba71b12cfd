"""One process at a time, by a lock of the kernel's, which a process that dies releases."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_SECONDS_BETWEEN_TRIES = 0.2


@contextmanager
def held(
    lock: Path,
    refusal: Callable[[str], Exception],
    patience: float = 0,
    waiting: str = "",
    progress: Callable[[], object] = lambda: None,
) -> Iterator[None]:
    """Hold the file `lock` for this process, whose number is written into it.

    Where another process holds it, wait up to `patience` seconds, then raise `refusal(number of that process)`.
    waiting: printed to stderr with that number, once, when the wait begins. progress: what tells that the holder is at
    work, such as the size of a file that it writes; whenever it changes, the patience starts anew.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as handle:
        if not _taken(handle):
            _wait(handle, refusal, patience, waiting, progress)
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _wait(
    handle: IO[str],
    refusal: Callable[[str], Exception],
    patience: float,
    waiting: str,
    progress: Callable[[], object],
) -> None:
    if patience and waiting:
        print(f"{waiting} (held by process {_holder(handle)})", file=sys.stderr, flush=True)
    seen, since = progress(), time.monotonic()
    while time.monotonic() - since < patience:
        time.sleep(_SECONDS_BETWEEN_TRIES)
        if _taken(handle):
            return
        if (now := progress()) != seen:
            seen, since = now, time.monotonic()
    raise refusal(_holder(handle)) from None


def _taken(handle: IO[str]) -> bool:
    try:
        # Unlike a lock by flock, this one is the process's own: children that outlive it do not hold it.
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _holder(handle: IO[str]) -> str:
    handle.seek(0)
    return handle.read().strip() or "unknown"
