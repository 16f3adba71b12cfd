"""Tables of labels in each form that bmix reads, from the same rows."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

CLASSES = ["bird", "cat", "dog"]
ROWS = [
    ("a.jpg", ["cat", "dog"], "train"),
    ("sub/b.jpg", ["bird"], "train"),
    ("c.jpg", [], "val"),
    ("d.jpg", ["dog"], "test"),
]


def write_every_form(folder: Path) -> dict[str, Path]:
    """The rows as CSV, TSV, JSONL and parquet, with labels as names joined by ;, lists, and 0/1 columns."""
    frame = pd.DataFrame(ROWS, columns=["path", "labels", "split"])
    joined = frame.assign(labels=frame["labels"].map(";".join))
    brackets = frame.assign(labels=frame["labels"].map(json.dumps))
    columns = frame.drop(columns="labels").assign(
        **{name: frame["labels"].map(lambda row, name=name: int(name in row)) for name in CLASSES}
    )
    forms = {"joined": joined, "brackets": brackets, "python": frame.assign(labels=frame["labels"].map(str))}
    paths = {}
    for name, form in {**forms, "columns": columns}.items():
        for suffix, separator in ((".csv", ","), (".tsv", "\t")):
            paths[name + suffix] = folder / f"{name}{suffix}"
            form.to_csv(paths[name + suffix], index=False, sep=separator)
    for name, form in {"lists": frame, "joined": joined, "columns": columns}.items():
        paths[f"{name}.jsonl"] = folder / f"{name}.jsonl"
        form.to_json(paths[f"{name}.jsonl"], orient="records", lines=True)
        paths[f"{name}.parquet"] = folder / f"{name}.parquet"
        form.to_parquet(paths[f"{name}.parquet"], index=False)
    return paths
