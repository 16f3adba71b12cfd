"""Whether what was read is plausible: odd names of classes, classes and splits that show nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from bmix.data.label_lists import label_counts
from bmix.data.manifest import Manifest
from bmix.support.errors import InputError, quoted

VALUES = frozenset(
    ["0", "1", "-1", "0.0", "1.0", "-1.0", "true", "false", "yes", "no", "y", "n", "t", "f", "nan", "none", "null", ""]
)
"""Values of a cell in a column per class, lower-case; no class is called so."""

_ODD = re.compile(
    r"""[\[\]{}\n\r\t]      # a bracket, a line break or a tab
    | ^[bru]?['"`]           # begins with a quote, as a text of Python
    | ['"`]$                # ends with one
    """,
    re.VERBOSE | re.IGNORECASE,
)
NO_LABEL_WORDS = frozenset(
    ["no finding", "no findings", "no_finding", "none", "nothing", "no label", "nolabel", "normal", "negative",
     "background", "empty", "unlabelled", "unlabeled"]
)  # fmt: skip
"""What data sets write for an image that shows no class, lower-case."""
NAMING = "where these are the names, list them in data.classes"


def refuse_implausible(manifest: Manifest, where: str, may_be_everywhere: bool = False, in_cells: bool = True) -> None:
    """InputError for a manifest that nobody can have meant.

    That is: classes called 0 and 1 or true and false alone; a name with brackets, quotes or line breaks, as lists and
    bytes have them when they are written as text, where nobody listed the names; a single training image; a class
    without a training image that is known not to show it, whose average precision would be 1 whatever the model says; a
    split to be evaluated without a single positive.
    may_be_everywhere: a class on every training image passes beside others: where objects are annotated it is meant.
    in_cells: the labels stand in the cells of a file, which the remedies then name.
    """
    if not manifest.classes_listed:
        refuse_values(manifest.classes, where, in_cells)
        refuse_odd_names(manifest.classes, where)
    _refuse_lone_image(manifest, where)
    if not may_be_everywhere or len(_always_present(manifest, "train")) == len(manifest.classes):
        _refuse_always_present(manifest, where, in_cells)
    _refuse_splits_without_positive(manifest, where)


def refuse_values(names: Sequence[str], where: str, in_cells: bool = True) -> None:
    """InputError if all names are values of a cell, such as 0 and 1, or strings of 0 and 1, such as 010."""
    if not names:
        return
    glued = len({len(name) for name in names}) == 1 and len(names[0]) > 1 and set("".join(names)) <= set("01")
    if not glued and not all(name.strip().lower() in VALUES for name in names):
        return
    remedy = (
        "rename a column of 0 and 1 to the class that it is about; where a cell holds a 0 or 1 for each class, write "
        "the names of those that are 1"
        if in_cells
        else "rename the classes"
    )
    raise InputError(where, f"the classes would be called {quoted(names)}", "names of classes", f"{remedy}; {NAMING}")


def refuse_odd_names(names: Sequence[str], where: str) -> None:
    """InputError for names that look like pieces of a list, a text or bytes in Python's or numpy's own writing."""
    odd = [name for name in names if is_odd(name)]
    if odd:
        raise InputError(
            where,
            f"{quoted(visible(name) for name in odd)} as the name of a class",
            "names without brackets, quotes and line breaks around them",
            f"write the labels of a row as cat;dog, or as a list in JSON; {NAMING}",
        )


def is_odd(name: str) -> bool:
    """Whether a name holds brackets or line breaks, or quotes at an end, or brackets that do not fit."""
    return bool(_ODD.search(name)) or name.count("(") != name.count(")")


def visible(name: str) -> str:
    """A name with every character that is invisible or easily confused as its code."""
    shown = []
    for character in name:
        kind = unicodedata.category(character)
        hidden = kind[0] in "CM" or (kind[0] == "Z" and character != " ")
        shown.append(f"\\u{ord(character):04x}" if hidden else character)
    return "".join(shown)


def look_alikes(names: Sequence[str]) -> list[list[str]]:
    """Names that differ in case, blanks, Unicode form or invisible characters alone, in groups of two or more."""
    groups: dict[str, list[str]] = {}
    for name in names:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
        key = "".join(c for c in folded if unicodedata.category(c)[0] not in "CZ")
        groups.setdefault(key, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def warned(manifest: Manifest) -> Manifest:
    """The manifest with notes on what is possible but rarely meant.

    That is: a class that may stand for no label; class names that look alike; a class that every image of a split has.
    """
    notes = {}
    if "no label" not in manifest.notes and (alone := _never_beside_another(manifest)):
        said = "never beside another label and a class like any other; where it means no label, set data.no_label to it"
        notes["no label"] = f"{quoted(alone)}: {said}"
    if alike := look_alikes(manifest.classes):
        pairs = "; ".join(" and ".join(f'"{visible(name)}"' for name in group) for group in alike[:4])
        notes["look alike"] = f"class names that differ in case, blanks or invisible characters alone: {pairs}"
    for split in manifest.splits():
        if split != "unlabelled" and (always := _always_present(manifest, split)):
            effect = "nothing to learn" if split == "train" else "average precision is 1 whatever the model says"
            notes[f"always present in {split}"] = f"{quoted(always)}: {effect}"
    return replace(manifest, notes={**manifest.notes, **notes}) if notes else manifest


def refuse_twins(manifest: Manifest, where: str) -> None:
    """InputError if a class without a training image looks like one that has some: Cat in train, cat in val."""
    trained = {name for names in manifest.rows("train")["labels"] for name in names}
    for group in look_alikes(manifest.classes):
        seen = [name for name in group if name in trained]
        unseen = [name for name in group if name not in trained]
        if seen and unseen:
            raise InputError(
                where,
                f'no positive in split train for "{visible(unseen[0])}", but for "{visible(seen[0])}"',
                "one name for each class, in every split",
                "give the class the same name in all splits",
            )


def _never_beside_another(manifest: Manifest) -> list[str]:
    """The classes whose names may mean no label, and that no image has beside another one."""
    words = [name for name in manifest.classes if name.lower() in NO_LABEL_WORDS]
    if not words or len(manifest.classes) == 1:
        return []
    labels = manifest.frame["labels"]
    beside = {name for names in labels[labels.map(len) > 1] for name in names}
    return [name for name in words if name not in beside]


def _always_present(manifest: Manifest, split: str) -> list[str]:
    """The classes with a positive in a split and no image there that is known not to show them."""
    rows, classes = manifest.rows(split), manifest.classes
    positives_K, ignored_K = label_counts(rows["labels"], classes), label_counts(rows["ignore"], classes)
    full_K = (positives_K > 0) & (positives_K + ignored_K == len(rows))
    return [name for name, full in zip(classes, full_K.tolist(), strict=True) if full]


def _refuse_lone_image(manifest: Manifest, where: str) -> None:
    if len(manifest.rows("train")) == 1:
        raise InputError(
            where,
            "one image in split train",
            "two at least: networks with batch norm cannot train on one",
            'give further images the split "train"',
        )


def _refuse_always_present(manifest: Manifest, where: str, in_cells: bool) -> None:
    cells = (
        "where -1 or an empty cell says that a class is absent, set data.minus_one or data.blank_cell to absent; "
        if in_cells
        else ""
    )
    if always := _always_present(manifest, "train"):
        raise InputError(
            where,
            f"no training image that is known not to show {quoted(always)}: "
            "each has the label, or is ignored for the class",
            "training images with each class, and training images without it",
            f"add images without the class; {cells}where the class means no label, name it in data.no_label; "
            "or leave it out",
        )


def _refuse_splits_without_positive(manifest: Manifest, where: str) -> None:
    for split in manifest.splits():
        rows = manifest.rows(split)
        if split in ("train", "unlabelled") or rows["labels"].map(len).any():
            continue
        raise InputError(
            where,
            f"no label on any of the {len(rows)} images of split {split}",
            "a split whose images have labels: there is nothing to measure on others",
            "label these images, or give them the split unlabelled",
        )
