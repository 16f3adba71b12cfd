"""The suggestions beside the given labels, a row per image, as CSV or parquet."""

from __future__ import annotations

from pathlib import Path

from bmix.labels.copies.plain import write_plain
from bmix.labels.formats.images import LabelledImages


def write_suggestions(images: LabelledImages, output: Path) -> None:
    """`id`, `file`, `split`, `given`, `suggested`, and `differs`: yes or no."""
    frame = images.frame.rename(columns={"labels": "suggested"})
    differs = [given != labels for given, labels in zip(frame["given"], frame["suggested"], strict=True)]
    write_plain(frame.assign(differs=["yes" if own else "no" for own in differs]), images.run.classes, output)
