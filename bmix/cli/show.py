"""What commands print in the same way."""

from __future__ import annotations

from pathlib import Path


def tell(line: str) -> None:
    """A line of a run, at once."""
    print(line, flush=True)


def show_result(folder: Path) -> None:
    """The table of a finished run and where to look further."""
    from bmix.pipeline.table import read_measures, render, where_to_look

    print(f"\n{render({'result': [read_measures(folder)]})}\n\n{where_to_look(folder, record())}")


def record() -> str:
    """The tracking URI of the MLflow record, without its secrets."""
    from bmix.tracking.destination import destination

    return destination().shown
