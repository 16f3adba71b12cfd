"""A table in MLflow."""

from __future__ import annotations

from pathlib import Path

from bmix.ablation.results import Results


def record_table(results: Results, folder: Path) -> None:
    """Later."""
