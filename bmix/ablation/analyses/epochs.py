"""What changes over the epochs: how unevenly images are drawn (Figure 6), how right the verdicts are (Appendix G)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bmix.ablation.figure import picture
from bmix.ablation.page import markdown_table
from bmix.ablation.results import Results
from bmix.figures.style import AMBER, BLUE, GREEN, GREY, RED, SKY, mark_warmup, short
from bmix.support.spreadsheet import write_named_csv

_SAMPLER = {"maximum": RED, "p90": AMBER, "median": GREY, "p10": SKY, "minimum": BLUE}
_VERDICTS = {
    "clean_precision": ("clean selection, precision", BLUE, "-"),
    "clean_recall": ("clean selection, recall", BLUE, "--"),
    "relabel_precision": ("re-labelling, precision", GREEN, "-"),
    "relabel_recall": ("re-labelling, recall", GREEN, "--"),
}
_NAMES = ("row", "setting")


def mean_over_seeds(results: Results, file: str, columns: Sequence[str]) -> pd.DataFrame:
    """By row, setting and epoch the mean of columns of a table that every cell wrote, over the seeds that have one."""
    parts = []
    for cell in results.cells:
        if cell.title in results.measures:
            table = pd.read_csv(cell.folder / file)
            parts.append(table[["epoch", *columns]].assign(row=cell.row, setting=cell.setting))
    whole = pd.concat(parts, ignore_index=True)
    return whole.groupby([*_NAMES, "epoch"], sort=False, as_index=False)[list(columns)].mean()


def sampling_over_epochs(results: Results, folder: Path) -> list[str]:
    """Figure 6: N·p(x) of the images that eq. 4 favours most and least, after every epoch."""
    table = mean_over_seeds(results, "sampler.csv", [*_SAMPLER, "effective_size"])
    write_named_csv(folder / f"{results.grid.name}-data.csv", table, _NAMES)
    panels = list(table.groupby(list(_NAMES), sort=False))
    with picture(folder / f"{results.grid.name}.png", 4.6 * len(panels) + 0.4, 3.8, []) as drawn:
        for axes, ((_, setting), part) in zip(drawn.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            for column, colour in _SAMPLER.items():
                axes.plot(part["epoch"], part[column], color=colour, label=column, linewidth=1.6)
            axes.set(title=short(str(setting), 40), xlabel="epoch", ylabel="N p(x), 1 is uniform")
            mark_warmup(axes, _warmup(results, str(setting)), int(part["epoch"].max()))
        drawn.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(_SAMPLER), fontsize=9)
    ratios = [(name, (part["maximum"] / part["minimum"]).iloc[[0, -1]].tolist()) for name, part in panels]
    rows = [[str(name[1]), *(f"{ratio:.3f}" for ratio in both)] for name, both in ratios]
    about = "Largest over smallest sampling probability, as the scores of eq. 4 stand after an epoch:"
    return [
        "## Most and least favoured images",
        "",
        about,
        "",
        *markdown_table(["", "first epoch", "last epoch"], rows),
    ]


def verdicts_over_epochs(results: Results, folder: Path) -> list[str]:
    """Appendix G: precision and recall of clean selection and of re-labelling, of all labels and of given positives."""
    columns = [*_VERDICTS, *(f"{name}_positives" for name in _VERDICTS)]
    table = mean_over_seeds(results, "history.csv", columns).dropna(how="all", subset=columns)
    write_named_csv(folder / f"{results.grid.name}-data.csv", table, _NAMES)
    panels = list(table.groupby(list(_NAMES), sort=False))
    if not panels:
        return ["No epoch has verdicts: labels are not managed, or their truth is not known."]
    with picture(folder / f"{results.grid.name}.png", 4.4 * len(panels) + 0.4, 7.2, []) as drawn:
        grid = drawn.subplots(2, len(panels), squeeze=False, sharex=True, sharey=True)
        for column, ((_, setting), part) in enumerate(panels):
            for axes, suffix, among in zip(
                grid[:, column], ("", "_positives"), ("all labels", "given positives"), strict=True
            ):
                for name, (label, colour, style) in _VERDICTS.items():
                    values = 100 * part[name + suffix]
                    axes.plot(part["epoch"], values, style, color=colour, marker="o", markersize=3, label=label)
                axes.set(title=f"{short(str(setting), 30)}, {among}", ylim=(-2, 102), ylabel="%")
                axes.locator_params(axis="x", integer=True)
            grid[1, column].set_xlabel("epoch")
        drawn.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    rows = [
        [setting, among, *(f"{100 * value:.1f}" for value in part.iloc[-1][[f"{name}{suffix}" for name in _VERDICTS]])]
        for (_, setting), part in panels
        for suffix, among in (("", "all labels"), ("_positives", "given positives"))
    ]
    head = ["", "of", *(label for label, _, _ in _VERDICTS.values())]
    return ["## In the last epoch, %", "", *markdown_table(head, rows)]


def _warmup(results: Results, setting: str) -> int:
    return next(cell.params.training.warmup_epochs for cell in results.cells if cell.setting == setting)
