"""A lock that one process holds and that its death lets go."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bmix.support.locks import held
from tests.helpers.tiny import REPOSITORY

HOLDER = """
import sys
from pathlib import Path

from bmix.support.locks import held

with held(Path(sys.argv[1]), RuntimeError):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(lock: Path) -> Iterator[int]:
    """The number of a process that holds the lock, and that is killed at the end."""
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder.pid
        finally:
            holder.kill()


def test_another_process_is_refused_by_number_until_the_holder_dies(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / "work.lock"
    with (
        held_elsewhere(lock) as holder,
        pytest.raises(LookupError, match=f"^'{holder}'$"),
        held(lock, KeyError),
    ):
        pass
    with held(lock, KeyError):
        pass
