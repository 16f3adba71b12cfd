"""A lock that one process holds and that its death releases."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bmix.support import locks
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
def held_elsewhere(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its input ends, and that is killed at the end."""
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


def test_another_process_is_refused_by_number_until_the_holder_dies(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / "work.lock"
    with (
        held_elsewhere(lock) as holder,
        pytest.raises(LookupError, match=f"^'{holder.pid}'$"),
        held(lock, KeyError),
    ):
        pass
    with held(lock, KeyError):
        pass


def test_a_wait_ends_with_the_holder_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "work.lock"
    with held_elsewhere(lock) as holder:
        monkeypatch.setattr(locks.time, "sleep", lambda _seconds: holder.kill())
        with held(lock, KeyError, 1800, "waiting for the other"):
            assert lock.read_text() == str(os.getpid())
    assert capsys.readouterr().err == f"waiting for the other (held by process {holder.pid})\n"


def test_patience_starts_anew_while_the_holder_is_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(locks.time, "sleep", sleep)
    monkeypatch.setattr(locks.time, "monotonic", lambda: now[0])
    # Ten seconds of work, then none.
    with (
        held_elsewhere(tmp_path / "work.lock"),
        pytest.raises(LookupError),
        held(tmp_path / "work.lock", KeyError, 3, progress=lambda: min(now[0], 10)),
    ):
        pass
    assert 13 <= now[0] < 13.5
