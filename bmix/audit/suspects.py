"""The labels to look at first, from what the stage audit wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bmix.audit.files import QUALITY_FILE
from bmix.data.manifest import Manifest, holds_features
from bmix.support.errors import InputError, quoted

COLUMNS = ["rank", "id", "file", "class", "given", "suggested", "p_wrong", "quality", "labels"]


def suspects(
    folder: Path, manifest: Manifest, count: int, split: str = "train", class_name: str = "", value: str = "both"
) -> pd.DataFrame:
    """The labels that are likeliest to be wrong, the likeliest first, with COLUMNS.

    folder: where the stage audit wrote. split, class_name: of that split, and that class alone unless it is empty.
    value: `present` (perhaps wrong positives), `absent` (perhaps missing ones) or `both`. file: relative to the image
    root, empty for features. suggested: the other value if it is likelier than the given one, else the given one.
    p_wrong in [0, 1]; quality: the log-odds that the order follows. labels: all given labels of the image, joined by
    `;`. Raises InputError where nothing was audited, and for a split or class that is not there.
    """
    frame = _read(folder / QUALITY_FILE, split)
    if class_name and class_name not in manifest.classes:
        raise InputError("--class", f'"{class_name}"', quoted(manifest.classes), "name one of the classes")
    wanted = frame["given"].isin({"present": [1], "absent": [0]}.get(value, [0, 1])) & frame["quality"].notna()
    if class_name:
        wanted &= frame["class"] == class_name
    found = frame[wanted].sort_values("quality", kind="stable").head(count)
    p_wrong = np.where(found["given"] == 1, 1 - found["p_present"], found["p_present"])
    given = frame[frame["given"] == 1].groupby("id", observed=True)["class"].agg(";".join)
    rows = manifest.rows(split).set_index("id")
    files = pd.Series("", rows.index) if holds_features(manifest) else rows["path"]
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(found) + 1),
            "id": found["id"].to_numpy(),
            "file": files.reindex(found["id"]).to_numpy(),
            "class": found["class"].astype(str).to_numpy(),
            "given": found["given"].to_numpy(),
            "suggested": np.where(p_wrong > 0.5, 1 - found["given"], found["given"]),
            "p_wrong": p_wrong,
            "quality": found["quality"].to_numpy(),
            "labels": given.reindex(found["id"]).fillna("").to_numpy(),
        }
    )


def _read(path: Path, split: str) -> pd.DataFrame:
    remedy = "run the pipeline with something to judge by: audit.features and audit.weights, docs/audit.md"
    try:
        splits = pd.read_parquet(path, columns=["split"])["split"].unique()
        frame = pd.read_parquet(path, filters=[("split", "==", split)])
    except FileNotFoundError as error:
        raise InputError(str(path), "no such file", "what the stage audit writes", "run it: dvc repro audit") from error
    except (OSError, ValueError, KeyError) as error:
        raise InputError(str(path), f"not readable: {error}", "what the stage audit writes", "run it again") from error
    if not len(splits):
        raise InputError(str(path), "is empty: nothing was audited", "judged labels", remedy)
    if split not in set(splits):
        raise InputError("--split", split, f"one of {', '.join(map(str, splits))}", "name one of them")
    return frame.astype({"class": str})
