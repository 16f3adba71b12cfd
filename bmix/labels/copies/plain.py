"""The labels of any run as a plain table, a row per image, which the source table reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from bmix.data.manifest import REVIEWED, TRUE
from bmix.labels.changes import Changes
from bmix.labels.run import LabelledRun
from bmix.support.errors import InputError
from bmix.support.files import replaced

SUFFIXES = (".csv", ".parquet")
_SIGNS = (";", "|", ",", "[", "(", "{")


def plain_table(run: LabelledRun, changes: Changes, marked: bool = False) -> pd.DataFrame:
    """`id`, `path`, `split`, `labels`, and `ignore` and `true` where there are some: lists of class names.

    marked: with `reviewed`, by class what people did, as JSON.
    """
    frame = run.manifest.frame
    targets = changes.targets(run)
    labels = [
        changed_names(names, targets.get(id_, {}), run.classes)
        for id_, names in zip(frame["id"], frame["labels"], strict=True)
    ]
    table = frame[["id", "path", "split"]].assign(labels=pd.Series(labels, index=frame.index, dtype=object))
    further = [name for name in ("ignore", TRUE) if name in frame and frame[name].map(len).any()]
    table = table.assign(**{name: frame[name] for name in further})
    if marked:
        new = changes.reviewed()
        # What an earlier review did is not known any more; that it looked is.
        before: Any = frame[REVIEWED] if REVIEWED in frame else [[]] * len(frame)
        answers = [
            {**dict.fromkeys(old, "kept"), **new.get(id_, {})} for id_, old in zip(frame["id"], before, strict=True)
        ]
        table[REVIEWED] = [json.dumps(own, ensure_ascii=False) if own else "" for own in answers]
    return table


def changed_names(names: list[str], values: dict[str, int], classes: list[str]) -> list[str]:
    """Class names with some added and some taken away, in class order."""
    present = {*names, *(name for name, value in values.items() if value)}
    return [name for name in classes if name in present and values.get(name, 1)]


def write_plain(table: pd.DataFrame, classes: list[str], output: Path) -> None:
    """Write a table of lists of class names as .csv or .parquet; InputError for another suffix.

    Names are joined by `;`; where a name holds what may join names elsewhere, a cell is a list as JSON writes it.
    """
    suffix = output.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError("--output", str(output), f"a file that ends in {' or '.join(SUFFIXES)}", "rename it")
    lists = [str(name) for name in table if table[name].map(lambda cell: isinstance(cell, list)).all()]
    if suffix == ".csv":
        joins = not any(sign in name for name in classes for sign in _SIGNS)
        write = ";".join if joins else lambda names: json.dumps(names, ensure_ascii=False)
        table = table.assign(**{name: table[name].map(write) for name in lists})
    with replaced(output) as temporary:
        if suffix == ".csv":
            table.to_csv(temporary, index=False, lineterminator="\n")
        else:
            table.to_parquet(temporary, index=False, compression="zstd")
