"""How a data set was understood, in a few plain lines that are shown before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bmix.data.manifest import TRUE, Manifest, holds_features
from bmix.sources.plausibility import visible
from bmix.sources.registry import SOURCES

if TYPE_CHECKING:
    from bmix.params import DataParams
from bmix.support.errors import quoted

WARNINGS = (
    "look alike",
    "always present",
    "overlap",
    "unreadable",
    "tiny",
    "other formats",
    "copies",
    "nearly constant",
    "nearly black",
    "mixed depth",
)
"""How the names of notes begin that are shown as warnings."""


@dataclass(frozen=True)
class Reading:
    """The lines that say how data was understood: form, files, splits, classes, labels, and what was left alone."""

    lines: tuple[str, ...]

    @classmethod
    def of(cls, manifest: Manifest, data: DataParams) -> Reading:
        """The reading of a manifest that was examined, with every note of its source."""
        notes = dict(manifest.notes)

        def line(name: str, text: str) -> str:
            note = notes.pop(name, "")
            return f"  {name}: {text}" + (f" ({note})" if note else "")

        form = "; ".join(notes.pop(name) for name in ("form", "features", "labels") if name in notes)
        lines = [
            f"{data.source} {data.path}" + (f": {form}" if form else ""),
            line("images", _images(manifest, data)),
            line("splits", ", ".join(f"{split} {len(manifest.rows(split))}" for split in manifest.splits())),
            line("classes", f"{len(manifest.classes)}: {quoted(visible(name) for name in manifest.classes)}"),
            line("labels", _labels(manifest)),
        ]
        if TRUE in manifest.frame:
            lines.append(f"  true labels: known; {_truth(manifest)}")
        for name, note in notes.items():
            lines.append(f"  {'warning: ' if name.startswith(WARNINGS) else ''}{name}: {note}")
        return cls(tuple(lines))

    def __str__(self) -> str:
        return "\n".join(self.lines)


def _images(manifest: Manifest, data: DataParams) -> str:
    count = len(manifest.frame)
    if holds_features(manifest):
        return f"{count} rows of numbers"
    if SOURCES[data.source].makes_images:
        return f"{count}, which prepare writes"
    return f"{count}, in {manifest.frame['path'].nunique()} files below {data.root}"


def _truth(manifest: Manifest) -> str:
    """How the given labels differ from the true ones."""
    labelled = manifest.frame[manifest.frame["split"] != "unlabelled"]
    given, true = ([set(names) for names in labelled[column]] for column in ("labels", TRUE))
    wrong = sum(len(own - right) for own, right in zip(given, true, strict=True))
    missing = sum(len(right - own) for own, right in zip(given, true, strict=True))
    return f"of the {sum(map(len, given))} given labels {wrong} are wrong, and {missing} are missing"


def _labels(manifest: Manifest) -> str:
    labelled = manifest.frame[manifest.frame["split"] != "unlabelled"]
    count_N = labelled["labels"].map(len)
    ignored = int(labelled["ignore"].map(len).sum())
    instance = "a row" if holds_features(manifest) else "an image"
    parts = [f"{count_N.mean():.2f} {instance}, at most {count_N.max()}"]
    if without := int((count_N == 0).sum()):
        parts.append(f"{without} without any")
    if ignored:
        parts.append(f"{ignored} ignored")
    return "; ".join(parts)
