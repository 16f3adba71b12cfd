"""What a table can show of its cells: a mean average precision, or of single-label runs an error rate or F1."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """key: in the measures of a run. words: what pages call it. axis: what pictures do. decimals: of a percentage."""

    key: str
    words: str
    axis: str
    decimals: int = 1


MEASURES = {
    **{group: Measure(f"mAP {group}", f"mAP, {group} classes", "mAP") for group in ("all", "many", "medium", "few")},
    "error": Measure("top-1 error", "top-1 error", "top-1 error", decimals=2),
    "macro-F1": Measure("macro-F1", "macro-F1", "macro-F1", decimals=2),
}
"""By the name that the key `groups` of a grid gives it."""
