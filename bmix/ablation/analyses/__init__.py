"""The paper's analyses: a CSV and a picture each, from the files that finished cells left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bmix.ablation.analyses.confidence import confidence_by_frequency
from bmix.ablation.analyses.epochs import sampling_over_epochs, verdicts_over_epochs
from bmix.ablation.results import Results

_ANALYSES: dict[str, Callable[[Results, Path], list[str]]] = {
    "confidence": confidence_by_frequency,
    "sampler": sampling_over_epochs,
    "verdicts": verdicts_over_epochs,
}


def analyse(results: Results, folder: Path) -> list[str]:
    """Draw the grid's analysis as `NAME.png` and `.svg`, write its numbers as `NAME-data.csv`; Markdown about it."""
    return _ANALYSES[results.grid.analysis or ""](results, folder)
