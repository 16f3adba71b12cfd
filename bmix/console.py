"""How every command starts and ends: what a person can mend is told in plain lines, without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bmix.errors import InputError

EXIT_INPUT = 2
EXIT_INTERRUPTED = 130


def run(command: Callable[[], int | None]) -> None:
    """Run `command` and leave the process: 0 or its status; 2 after an InputError; 130 after Ctrl-C."""
    try:
        status = command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_INPUT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(status or 0)
