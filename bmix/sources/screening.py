"""Images without a label, the class that means no label, and copies of images in other splits."""

from __future__ import annotations

import sys
from dataclasses import replace

import pandas as pd

from bmix.data.manifest import Manifest, holds_features, origin
from bmix.support.errors import SHOWN, InputError, nearest, quoted

AUTO = "auto"


def drop_empty(manifest: Manifest) -> Manifest:
    """The manifest without the images that have no label; those of split `unlabelled` stay. A note counts them."""
    frame = manifest.frame
    kept = frame["labels"].map(len).astype(bool) | (frame["split"] == "unlabelled")
    if kept.all():
        return manifest
    notes = {**manifest.notes, "empty": f"{(~kept).sum()} images without a label left out"}
    return replace(manifest, frame=frame[kept], notes=notes)


def without_no_label(manifest: Manifest, word: str, where: str) -> Manifest:
    """The manifest in which the class that is called `word`, whatever its case, is none: its images lack that label.

    word: `auto` leaves everything as it is. Raises InputError if no class is called so, and for an image that has
    another label beside it.
    """
    if word == AUTO:
        return manifest
    named = [name for name in manifest.classes if name.lower() == word.strip().lower()]
    if not named:
        raise InputError(
            "data.no_label",
            f'no class is called "{word}"',
            f"the class that means no label, one of {quoted(manifest.classes)}",
            f"correct it, or set it to auto.{nearest(word, manifest.classes)}",
        )
    frame = manifest.frame
    has_word_N = frame["labels"].map(lambda names: named[0] in names).to_numpy(bool)
    beside_N = has_word_N & (frame["labels"].map(len) > 1).to_numpy()
    if beside_N.any():
        position = int(beside_N.argmax())
        raise InputError(
            origin(frame, position, where),
            f"{quoted(frame['labels'].iloc[position])} on one image, and data.no_label says that one means no label",
            "one of them",
            "correct the labels, or set data.no_label to auto",
        )
    lists = {
        column: frame[column].map(lambda names: [name for name in names if name not in named])
        for column in ("labels", "ignore")
    }
    classes = [name for name in manifest.classes if name not in named]
    notes = {**manifest.notes, "no label": f"{int(has_word_N.sum())} images with {quoted(named)}"}
    return replace(manifest, frame=frame.assign(**lists), classes=classes, notes=notes)


def screen_overlap(manifest: Manifest, where: str, overlap: str) -> Manifest:
    """Look for files of equal bytes in more than one split, by their digests; images without a digest are passed over.

    overlap: `refuse` raises an InputError that names the first pairs; `warn` says so on stderr and in a note. A copy
    among the unlabelled images of a labelled one is an overlap too.
    """
    frame = manifest.frame
    with_digest = frame["digest"] != ""
    splits_of = frame[with_digest].groupby("digest", sort=False)["split"].nunique()
    shared = splits_of.index[splits_of > 1]
    if not len(shared):
        return manifest
    pairs = [_pair(frame, digest, where) for digest in shared[:SHOWN]]
    instance = "row" if holds_features(manifest) else "image"
    found = _counted(len(shared), instance)
    rest = [f"and {len(shared) - SHOWN} more"] if len(shared) > SHOWN else []
    if overlap == "refuse":
        raise InputError(
            where,
            "\n    ".join([found, *pairs, *rest]),
            f"every {instance} in one split only, or the test result is too good",
            "remove one of each pair, or set data.overlap to warn",
        )
    print(f"warning: {where}: {found}, e.g. {pairs[0]}", file=sys.stderr)
    return replace(manifest, notes={**manifest.notes, "overlap": found})


def noted_copies(manifest: Manifest) -> Manifest:
    """The manifest with a note on images whose bytes another image of their split has under another name and labels.

    Images without a digest, and those of split `unlabelled`, are passed over.
    """
    frame = manifest.frame
    judged = frame[(frame["digest"] != "") & (frame["split"] != "unlabelled")]
    copies = judged[judged.duplicated(["split", "digest"], keep=False)]
    if holds_features(manifest) or copies.empty:
        return manifest
    labels = copies["labels"].map(lambda names: tuple(sorted(names)))
    differs = labels.groupby([copies["split"], copies["digest"]]).transform("nunique") > 1
    if not differs.any():
        return manifest
    first = copies[differs].iloc[0]
    same = (copies["digest"] == first["digest"]) & (copies["split"] == first["split"])
    other = copies[same & (labels != labels[differs].iloc[0])].iloc[0]
    note = (
        f"{int(differs.sum())} images have the bytes of another image of their split, and other labels, "
        f'e.g. "{first["id"]}" and "{other["id"]}"'
    )
    return replace(manifest, notes={**manifest.notes, "copies": note})


def _counted(count: int, instance: str) -> str:
    counted = f"one {instance} is" if count == 1 else f"{count} {instance}s are"
    return f"{counted} in more than one split"


def _pair(frame: pd.DataFrame, digest: str, where: str) -> str:
    positions = (frame["digest"] == digest).to_numpy().nonzero()[0]
    first = int(positions[0])
    other = next(int(p) for p in positions if frame["split"].iloc[p] != frame["split"].iloc[first])
    return " and ".join(
        f'"{frame["id"].iloc[p]}" ({frame["split"].iloc[p]}, {origin(frame, p, where)})' for p in (first, other)
    )
