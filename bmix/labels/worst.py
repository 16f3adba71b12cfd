"""The labels to look at first."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bmix.labels.run import LabelledRun
from bmix.labels.scored import Scored
from bmix.labels.why import why
from bmix.support.errors import InputError, nearest, quoted

COLUMNS = ["rank", "id", "file", "class", "given", "suggested", "instead", "p_wrong", "quality", "why", "labels"]
NAMES = ("id", "file", "class", "instead", "why", "labels")
"""The columns of text, which a spreadsheet must not take for formulas."""
GIVEN_OF = {"present": [1], "absent": [0], "both": [0, 1]}


def worst_labels(
    run: LabelledRun,
    scored: Scored,
    count: int | None = None,
    class_name: str = "",
    value: str = "both",
    spread: bool = False,
) -> pd.DataFrame:
    """The labels that are likeliest to be wrong, the likeliest first, with COLUMNS.

    count: how many at most, None for all. class_name: of that class alone unless it is empty. value: `present` (perhaps
    wrong ones), `absent` (perhaps missing ones) or `both`. spread: of every class its first, then of every class its
    second, and so on. file: relative to the image root, empty for features.
    suggested: the other value if it is likelier than the given one, else the given one. instead: where a given class is
    doubted, the class that the image is likeliest to lack, if that is likelier than not; else empty. p_wrong in [0, 1],
    NaN if unknown; quality: the log-odds that the order follows. labels: all given labels of the image, joined by `;`.
    Raises InputError for a class that is not there.
    """
    if class_name and class_name not in run.classes:
        raise InputError(
            "--class", f'"{class_name}"', quoted(run.classes), f"name one of them.{nearest(class_name, run.classes)}"
        )
    frame = scored.frame
    wanted = frame["given"].isin(GIVEN_OF[value])
    if class_name:
        wanted &= frame["class"] == class_name
    found = frame[wanted].sort_values("quality", kind="stable")
    if spread:
        found = found.iloc[np.argsort(found.groupby("class", sort=False).cumcount().to_numpy(), kind="stable")]
    found = found.head(len(frame) if count is None else count)
    rows = run.rows(scored.split)
    positions = found["row"].to_numpy()
    lists = given_lists(run, scored.split)
    files = [""] * len(found) if run.image_root is None else rows["path"].to_numpy(object)[positions]
    suggested = np.where(found["p_wrong"] > 0.5, 1 - found["given"], found["given"])
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(found) + 1),
            "id": found["id"].to_numpy(),
            "file": files,
            "class": found["class"].to_numpy(),
            "given": found["given"].to_numpy(),
            "suggested": suggested.astype(np.int8),
            "instead": _instead(scored, found),
            "p_wrong": found["p_wrong"].to_numpy(),
            "quality": found["quality"].to_numpy(),
            "why": [why(scored, label) for label in found.to_dict("records")],
            "labels": [";".join(lists[row]) for row in positions],
        },
        columns=COLUMNS,
    )


def given_lists(run: LabelledRun, split: str) -> list[list[str]]:
    """The given labels of each image of a split."""
    present_NK = run.given(split) == 1
    return [[run.classes[k] for k in np.flatnonzero(row)] for row in present_NK]


def _instead(scored: Scored, found: pd.DataFrame) -> list[str]:
    """Of each label, the class that its image lacks; empty for labels given as absent."""
    frame = scored.frame
    lacking = frame[(frame["given"] == 0) & (frame["p_wrong"] > 0.5) & frame["row"].isin(found["row"])]
    best = lacking.sort_values("quality", kind="stable").drop_duplicates("row").set_index("row")["class"]
    return [best.get(row, "") if given == 1 else "" for row, given in zip(found["row"], found["given"], strict=True)]
