"""Output that cannot be written as it is, or not at all, ends no command with a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.tiny import REPOSITORY

# A sign of ours, one of another script, and what stands for a byte of a file name that is not UTF-8.
TOLD = "1 ± 2 – 猫 \udce9"


def run(code: str, redirection: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run `console.run(lambda: CODE)` in a shell with this redirection."""
    script = f"from bmix.support import console; TOLD = {TOLD!r}; console.run(lambda: {code})"
    return subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {redirection}', sys.executable, script],
        cwd=REPOSITORY,
        env=os.environ | environment,
        capture_output=True,
    )


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", rb"1 +/- 2 - \u732b \udce9"),
        ("latin-1", b"1 \xb1 2 - \\u732b \\udce9"),
        ("utf-8", "1 ± 2 – 猫 ".encode() + rb"\udce9"),
    ],
)
def test_what_the_encoding_lacks_is_written_in_other_signs(encoding: str, written: bytes) -> None:
    ended = run("print(TOLD)", PYTHONIOENCODING=encoding)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, written + b"\n", b"")


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", ">&- 2>&- <&-"])
def test_a_closed_stream_takes_no_word_and_no_file(redirection: str) -> None:
    # The first file that is opened would get the number of the closed stream, and what is printed to it.
    code = "[print(TOLD), open('/dev/null').fileno() > 2 or 1/0] and None"
    assert run(code, redirection, PYTHONIOENCODING="ascii").returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_output_is_an_error_in_one_line() -> None:
    ended = run("print(TOLD)", ">/dev/full")
    assert ended.returncode == 1
    assert ended.stderr == b"error: No space left on device\n  expected: room on the disk, and in the limits on it\n"
    assert run("print(TOLD)", ">/dev/full 2>&1").returncode == 1


def test_a_reader_of_the_errors_that_went_away_is_no_traceback() -> None:
    ended = run("open('/absent')", "2>&1 | true")
    assert (ended.stdout, ended.stderr) == (b"", b"")
