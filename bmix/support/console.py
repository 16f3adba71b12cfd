"""How every command starts and ends: what a person can fix is told in plain lines, without a traceback."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Callable
from typing import IO

from bmix.support.errors import InputError

EXIT_SYSTEM = 1
EXIT_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

_ROOM, _RIGHT = "room on the disk, and in the limits on it", "the right to read and write there"
_EXPECTED = {errno.ENOSPC: _ROOM, errno.EDQUOT: _ROOM, errno.EFBIG: _ROOM}
_EXPECTED |= {errno.EACCES: _RIGHT, errno.EPERM: _RIGHT, errno.EROFS: _RIGHT}

_PLAIN_ERRORS = "bmix-plain"
_PLAIN = {"±": "+/-", "–": "-", "—": "-", "−": "-", "→": "->", "×": "x", "≥": ">=", "≤": "<=", "·": "*", "…": "..."}
"""How signs of ours are written where the output's encoding lacks them."""


def run(command: Callable[[], int | None], program: str = "", about: str | None = None) -> None:
    """Run `command` and leave the process: 0 or its status; 2 after an InputError; 130 after Ctrl-C.

    1 after what the system refused, told with its file; 141, and no word, where the reader of the output is gone.
    program: the module of a command that takes no arguments: any are refused, and --help is answered with `about`.
    """
    open_streams()
    try:
        if program:
            argparse.ArgumentParser(prog=f"python -m {program}", description=about, allow_abbrev=False).parse_args()
        status = command()
        sys.stdout.flush()
    except InputError as error:
        _leave(EXIT_INPUT, f"error: {error}")
    except KeyboardInterrupt:
        _leave(EXIT_INTERRUPTED, "interrupted")
    except OSError as error:
        if isinstance(error, BrokenPipeError) and any(map(_reader_is_gone, (sys.stdout, sys.stderr))):
            _leave(EXIT_BROKEN_PIPE)
        if error.strerror is None:
            raise
        _leave(EXIT_SYSTEM, f"error: {_told(error)}")
    sys.exit(status or 0)


def open_streams() -> None:
    """See that writing to standard output and error cannot fail because of a closed stream or of its encoding."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            # Closed by whoever started this process. The number must not go to a file of ours that is opened next.
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8", errors=_PLAIN_ERRORS))  # noqa: SIM115, PTH123
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_PLAIN_ERRORS)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    written = []
    for sign in error.object[error.start : error.end]:
        plain = _PLAIN.get(sign)
        written.append(sign.encode("ascii", "backslashreplace").decode() if plain is None else plain)
    return "".join(written), error.end


codecs.register_error(_PLAIN_ERRORS, _plain)


def _leave(status: int, message: str = "") -> None:
    with contextlib.suppress(OSError):
        if message:
            print(message, file=sys.stderr, flush=True)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # What is still held back would be written, and fail again, when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(status)


def _reader_is_gone(stream: IO[str]) -> bool:
    """Whether a stream is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _told(error: OSError) -> str:
    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    expected = _EXPECTED.get(error.errno or 0)
    return f"{where}{error.strerror}" + (f"\n  expected: {expected}" if expected else "")
