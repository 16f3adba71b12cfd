"""One process at a time, by a lock of the kernel's, which a process that dies lets go."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(lock: Path, refusal: Callable[[str], Exception]) -> Iterator[None]:
    """Hold the file `lock` for this process; raise what `refusal` makes of the number of the process that holds it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as handle:
        try:
            # Unlike a lock by flock, this one is the process's own: children that outlive it do not hold it.
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            handle.seek(0)
            raise refusal(handle.read().strip() or "unknown") from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
