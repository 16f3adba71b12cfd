"""The command `bmix`: its commands read their options and call the library, which they import when they run."""

from __future__ import annotations

import signal
import sys
from types import FrameType

EXIT_TERMINATED = 143


def main() -> None:
    """Run the command line, as `bmix` or as `python -m bmix`, and leave the process."""
    # A stage must not outlive the command: SystemExit passes through the clean-up that stops it.
    signal.signal(signal.SIGTERM, _terminate)
    from bmix.cli.app import app

    app(prog_name="bmix")


def _terminate(_number: int, _frame: FrameType | None) -> None:
    sys.exit(EXIT_TERMINATED)
