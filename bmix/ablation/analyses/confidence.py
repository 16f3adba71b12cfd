"""Figures 3 and 5: confidence in given positives and average precision, by how frequent a class is, early in training.

The cells' warm-up ends at 40 % of the epochs, and bce has no other use for it: models/warmup is the model of then.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bmix.ablation.figure import picture
from bmix.ablation.finished import MARK
from bmix.ablation.page import markdown_table
from bmix.ablation.results import Results
from bmix.figures.style import BLUE, RED, short
from bmix.pipeline.projects import HOME
from bmix.pipeline.repro import PipelineError, stage_environment
from bmix.support.files import read_json, write_json
from bmix.support.spreadsheet import read_named_csv, write_named_csv
from bmix.workspace.locked import digest

GROUPS = 10
TABLE = Path(".bmix/confidence.csv")
_MADE_FROM = Path(".bmix/confidence.json")
_PATIENCE = 6 * 3600
"""Seconds after which a pass over two splits must have ended."""
_NAMES = ("row", "setting")


def confidence_by_frequency(results: Results, folder: Path) -> list[str]:
    """Draw both by group of classes, the most frequent first; Pearson's r between them."""
    parts, rows = [], []
    for cell in results.cells:
        if cell.title in results.measures:
            groups = group_classes(class_table(cell.folder))
            parts.append(groups.assign(row=cell.row, setting=cell.setting, seed=cell.seed))
    table = pd.concat(parts, ignore_index=True)
    columns = ["positives", "confidence", "ap"]
    mean = table.groupby([*_NAMES, "group"], sort=False, as_index=False)[columns].mean()
    write_named_csv(folder / f"{results.grid.name}-data.csv", mean, _NAMES)
    panels = list(mean.groupby(list(_NAMES), sort=False))
    with picture(folder / f"{results.grid.name}.png", 4.8 * len(panels) + 0.4, 4, []) as drawn:
        for axes, ((_, setting), part) in zip(drawn.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            r = pearson(part["confidence"], part["ap"])
            axes.bar(
                part["group"], 100 * part["confidence"], color=BLUE, alpha=0.35, label="confidence in given positives"
            )
            axes.plot(part["group"], 100 * part["ap"], color=RED, marker="o", markersize=4, label="average precision")
            axes.set(
                title=f"{short(str(setting), 30)}, r = {r:.2f}",
                xlabel="group of classes, most frequent first",
                ylabel="%",
            )
            axes.set_xticks(part["group"])
            axes.set_ylim(0, 102)
            rows.append([setting, len(part), f"{r:.3f}"])
        drawn.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    about = (
        "Classes sorted by their positives in training, in groups of equal size; the mean confidence in the given "
        "positives of the training split, and the mean average precision, by the model after 40 % of the epochs."
    )
    return ["## Confidence and precision", "", about, "", *markdown_table(["", "groups", "Pearson's r"], rows)]


def group_classes(classes: pd.DataFrame, count: int = GROUPS) -> pd.DataFrame:
    """Means of `positives`, `confidence` and `ap` over groups of classes of equal size, the most frequent group first.

    At most one group per class; sizes differ by 1 at most. A class without a positive, whose confidence or precision is
    NaN, has no say in its group's mean. `group` counts from 1.
    """
    ordered = classes.sort_values("positives", ascending=False, kind="stable").reset_index(drop=True)
    parts = np.array_split(np.arange(len(ordered)), min(count, len(ordered)))
    means = [ordered.loc[part, ["positives", "confidence", "ap"]].mean() for part in parts]
    return pd.DataFrame(means).reset_index(drop=True).assign(group=range(1, len(parts) + 1))


def pearson(first: Sequence[float] | pd.Series, second: Sequence[float] | pd.Series) -> float:
    """Pearson's r of the pairs without a NaN; NaN with fewer than two, or without variance."""
    pairs = np.array([first, second], dtype=float)
    pairs = pairs[:, ~np.isnan(pairs).any(axis=0)]
    deviations = pairs - pairs.mean(axis=1, keepdims=True) if pairs.shape[1] > 1 else np.zeros((2, 1))
    norms = np.linalg.norm(deviations, axis=1)
    return float(deviations[0] @ deviations[1] / norms.prod()) if norms.all() else math.nan


def class_table(copy: Path) -> pd.DataFrame:
    """Of the model in models/warmup of a cell: `class`, `positives`, `confidence`, `ap`; made once for each result.

    PipelineError if the model cannot be passed over the data.
    """
    made_from = digest(read_json(copy / MARK))
    try:
        if read_json(copy / _MADE_FROM) == made_from:
            return read_named_csv(copy / TABLE)
    except (OSError, ValueError):
        pass
    command = [sys.executable, "-m", "bmix.ablation.analyses.warmup_pass"]
    ended = subprocess.run(
        command,
        cwd=copy,
        env=stage_environment() | {"BMIX_HOME": str(HOME.resolve())},
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
    )
    if ended.returncode:
        raise PipelineError(f"{' '.join(command[1:])} failed in {copy}:\n{ended.stderr.strip()[-2000:]}")
    write_json(copy / _MADE_FROM, made_from)
    return read_named_csv(copy / TABLE)
