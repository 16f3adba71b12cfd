"""What is to be changed in a file, by the rows of its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Edits:
    """targets: by id and class, the new value of a label, 1 or 0. classes: all of them, in column order.

    Only where labels are applied: reviewed, by id and class, what people did; splits, by id, where the source drew
    them: drawn anew from corrected labels they would be others.
    """

    classes: list[str]
    targets: Mapping[str, Mapping[str, int]]
    reviewed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)
    adds_columns: bool = False
