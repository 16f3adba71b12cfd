"""A lock that one process holds and that its death lets go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bmix.locks import held

HOLDER = """
import sys
from pathlib import Path

from bmix.locks import held

with held(Path(sys.argv[1]), RuntimeError):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_refused_by_number_until_the_holder_dies(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / "work.lock"
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LookupError, match=f"^'{holder.pid}'$"), held(lock, KeyError):
            pass
        holder.kill()
    with held(lock, KeyError):
        pass
