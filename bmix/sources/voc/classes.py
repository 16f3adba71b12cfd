"""VOC's classes, or those of a person's own annotations."""

from __future__ import annotations

import difflib
from pathlib import Path

from bmix.data.manifest import quoted
from bmix.sources.class_list import ClassList
from bmix.support.errors import InputError, nearest

CLASSES = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
]  # fmt: skip
"""The published ones, in their order."""

MISSPELT = 0.75
"""How much a name is like a published one, of 1, that is taken for that one misspelt."""


def classes_of(first_of: dict[str, Path], listed: ClassList | None) -> tuple[list[str], str]:
    """The classes in column order, and a note on where they come from, '' for all of the published ones.

    first_of: every class that an annotation names -> an annotation that does. listed: the classes as the user listed
    them; then no other may occur. Without a list: the published classes in their order if no other occurs, else those
    that occur, sorted. Raises InputError for a name that is not listed, and for one that is spelt almost as a published
    one where every published one occurs.
    """
    if listed:
        _refuse([name for name in first_of if name not in listed.names], first_of, listed.names)
        return listed.names, listed.note
    published = [name for name in CLASSES if name in first_of]
    if len(published) == len(CLASSES):
        # Likely VOC itself: a name that is nearly one of its own is misspelt.
        others = [name for name in first_of if name not in CLASSES]
        misspelt = [name for name in others if difflib.get_close_matches(name, CLASSES, cutoff=MISSPELT)]
        _refuse(misspelt, first_of, CLASSES)
    if len(published) == len(first_of):
        note = "" if len(published) == len(CLASSES) else "those of VOC's 20 that the annotations name"
        return published, note
    return sorted(first_of), "the names of the objects, sorted"


def _refuse(unknown: list[str], first_of: dict[str, Path], known: list[str]) -> None:
    if unknown:
        name = unknown[0]
        remedy = f"correct the annotation, or list every class in data.classes.{nearest(name, known)}"
        raise InputError(str(first_of[name]), f'object "{name}"', f"one of {quoted(known)}", remedy)
