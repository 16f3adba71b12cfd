"""Commands that show results."""

from __future__ import annotations

from pathlib import Path

from bmix.cli.show import show_result


def table() -> None:
    """Show the result of the last run in this folder.

    Example: bmix table
    """
    show_result(Path())
