"""What a data set holds: images, classes, imbalance; as JSON and as a table to read."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from bmix.data.label_lists import label_counts
from bmix.data.manifest import Manifest
from bmix.support.errors import shortened

Facts = dict[str, Any]


def facts(manifest: Manifest, many: int, medium: int) -> Facts:
    """The facts of a data set, ready for JSON.

    many, medium: a class with at least so many training positives is many-shot, else medium-shot; the rest few-shot.
    Keys: `images` per split; `classes`: per class its `group`, and `positives` and `ignored` per split;
    `labels_per_image`: per split `mean`, `max` and `without_label` (a share); `imbalance_ratio` (eq. 12: most over
    fewest positives of a class), `positive_negative_ratio` (eq. 13: negatives over positives) and
    `labels_per_positive` (all cells over positives), these three of the training split, null where it lacks a
    positive; `groups`: per group its classes; `membership`: per split a digest of the ids and contents of its images;
    `notes`: what the source and the checks decided or found. Ignored cells are neither positives nor negatives.
    """
    splits = [split for split in manifest.splits() if split != "unlabelled"]
    rows = {split: manifest.rows(split) for split in splits}
    positives = {split: label_counts(rows[split]["labels"], manifest.classes) for split in splits}
    ignored = {split: label_counts(rows[split]["ignore"], manifest.classes) for split in splits}
    train_K = positives["train"]
    total = int(train_K.sum())
    cells = len(rows["train"]) * len(manifest.classes) - int(ignored["train"].sum())
    group_K = np.where(train_K >= many, "many", np.where(train_K >= medium, "medium", "few")).tolist()
    return {
        "images": {split: len(manifest.rows(split)) for split in manifest.splits()},
        "classes": {
            name: {
                "group": group_K[column],
                "positives": {split: int(positives[split][column]) for split in splits},
                "ignored": {split: int(ignored[split][column]) for split in splits},
            }
            for column, name in enumerate(manifest.classes)
        },
        "labels_per_image": {split: _labels_per_image(rows[split]["labels"]) for split in splits},
        "imbalance_ratio": float(train_K.max() / train_K.min()) if train_K.all() else None,
        "positive_negative_ratio": (cells - total) / total if total else None,
        "labels_per_positive": cells / total if total else None,
        "groups": {
            group: [name for name, own in zip(manifest.classes, group_K, strict=True) if own == group]
            for group in ("many", "medium", "few")
        },
        "membership": {split: _membership(manifest.rows(split)) for split in manifest.splits()},
        "notes": dict(manifest.notes),
    }


def _membership(rows: pd.DataFrame) -> str:
    """16 hex digits of which images a split holds, by id and content, whatever their order."""
    members = "\n".join(sorted(f"{name}\0{digest}" for name, digest in zip(rows["id"], rows["digest"], strict=True)))
    return hashlib.blake2b(members.encode(), digest_size=8).hexdigest()


def _labels_per_image(lists: pd.Series) -> dict[str, float]:
    count_N = lists.map(len).to_numpy(np.int64)
    return {
        "mean": float(count_N.mean()),
        "max": int(count_N.max()),
        "without_label": float((count_N == 0).mean()),
    }


def facts_table(facts: Facts) -> str:
    """The facts as plain text: a line per class with its positives in each split, then the ratios."""
    splits = list(facts["images"])
    per_image = facts["labels_per_image"]
    classes = facts["classes"].items()
    body = [
        ["class", *splits, "group"],
        *(
            [shortened(name), *(str(own["positives"].get(split, "")) for split in splits), own["group"]]
            for name, own in classes
        ),
        [],
        ["images", *(str(count) for count in facts["images"].values()), ""],
        [
            "labels per image",
            *(f"{per_image[split]['mean']:.2f}" if split in per_image else "" for split in splits),
            "",
        ],
        [
            "without a label",
            *(f"{per_image[split]['without_label']:.1%}" if split in per_image else "" for split in splits),
            "",
        ],
    ]
    widths = [max(len(row[column]) for row in body if row) for column in range(len(splits) + 2)]
    ignored = sum(count for _, own in classes for count in own["ignored"].values())
    ratios = [
        f"imbalance ratio (eq. 12)         {_number(facts['imbalance_ratio'])}",
        f"negatives per positive (eq. 13)  {_number(facts['positive_negative_ratio'])}",
        f"labels per positive              {_number(facts['labels_per_positive'])}",
        *([f"ignored labels                   {ignored}"] if ignored else []),
    ]
    members = [f"membership of {split:<20} {digest}" for split, digest in facts["membership"].items()]
    notes = [f"{name}: {note}" for name, note in facts["notes"].items()]
    return "\n".join([*(_line(row, widths) for row in body), "", *ratios, *members, *([""] if notes else []), *notes])


def _line(row: list[str], widths: list[int]) -> str:
    if not row:
        return ""
    numbers = [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *numbers, row[-1]]).rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
