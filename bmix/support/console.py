"""How every command starts and ends: what a person can mend is told in plain lines, without a traceback."""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Callable

from bmix.support.errors import InputError

EXIT_SYSTEM = 1
EXIT_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

_ROOM, _RIGHT = "room on the disk, and in the limits on it", "the right to read and write there"
_EXPECTED = {errno.ENOSPC: _ROOM, errno.EDQUOT: _ROOM, errno.EFBIG: _ROOM}
_EXPECTED |= {errno.EACCES: _RIGHT, errno.EPERM: _RIGHT, errno.EROFS: _RIGHT}


def run(command: Callable[[], int | None]) -> None:
    """Run `command` and leave the process: 0 or its status; 2 after an InputError; 130 after Ctrl-C.

    1 after what the system refused, told with its file; 141, and no word, where the reader of the output is gone.
    """
    try:
        status = command()
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_INPUT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            # What is still held back would be written, and fail again, when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(EXIT_BROKEN_PIPE)
        if error.strerror is None:
            raise
        print(f"error: {_told(error)}", file=sys.stderr)
        sys.exit(EXIT_SYSTEM)
    sys.exit(status or 0)


def _reader_is_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _told(error: OSError) -> str:
    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    expected = _EXPECTED.get(error.errno or 0)
    return f"{where}{error.strerror}" + (f"\n  expected: {expected}" if expected else "")
