"""A table's numbers: what the finished cells measured, by row, setting, group and seed, in percent."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bmix.ablation.cells import Cell
from bmix.ablation.grid import Grid
from bmix.ablation.measures import MEASURES
from bmix.ablation.statistics import Difference, Mean, mean_of, paired_difference
from bmix.pipeline.table import Measures, read_measures

Values = dict[int | None, float]
MEAN = "mean"
"""The name of the column that is the mean over all settings."""


@dataclass(frozen=True)
class Results:
    """Measures of the cells that are finished, in [0, 1], by cell; reasons of those that are not."""

    grid: Grid
    cells: list[Cell]
    measures: dict[str, Measures]
    holes: dict[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The settings, and the mean over them where the grid wants it."""
        return [*self.grid.settings, *([MEAN] if self.grid.mean else [])]

    @property
    def seeds(self) -> list[int | None]:
        """The seeds of the cells, in their order."""
        return list(dict.fromkeys(cell.seed for cell in self.cells))

    def values(self, row: str, column: str, group: str) -> Values:
        """mAP of a group, or another of MEASURES, in percent by seed, of the seeds that have one.

        Of the column MEAN the mean over all settings, of the seeds for which every one of them is there.
        """
        if column == MEAN and MEAN not in self.grid.settings:
            parts = [self.values(row, setting, group) for setting in self.grid.settings]
            whole = set.intersection(*map(set, parts))
            return {seed: statistics.fmean(part[seed] for part in parts) for seed in self.seeds if seed in whole}
        found: Values = {}
        for cell in self.cells:
            if (cell.row, cell.setting) == (row, column) and cell.title in self.measures:
                value = self.measures[cell.title].get(MEASURES[group].key)
                if value is not None:
                    found[cell.seed] = 100 * value
        return found

    def mean(self, row: str, column: str, group: str) -> Mean | None:
        """Mean and standard error over the seeds; None without a value."""
        return mean_of(list(self.values(row, column, group).values()))

    def first_row(self, column: str) -> str:
        """The row that the others of a column are compared with: the first that is run in it."""
        for row in self.grid.rows:
            if column in row.settings or (column == MEAN and len(row.settings) == len(self.grid.settings)):
                return row.name
        return self.grid.rows[0].name

    def difference(self, row: str, column: str, group: str) -> Difference | None:
        """The difference to the column's first row, paired over seeds; None for that row and without a common seed."""
        first = self.first_row(column)
        if row == first:
            return None
        return paired_difference(self.values(row, column, group), self.values(first, column, group))

    def missing(self) -> list[tuple[Cell, str]]:
        """The cells without a result, with the reason."""
        return [
            (cell, self.holes.get(cell.title, "was not run")) for cell in self.cells if cell.title not in self.measures
        ]


def collect(grid: Grid, cells: Sequence[Cell], finished: Sequence[Cell], holes: Mapping[str, str]) -> Results:
    """Read the measures of the finished cells; cells with equal params share them."""
    by_folder = {cell.folder: read_measures(cell.folder) for cell in finished}
    measures = {cell.title: by_folder[cell.folder] for cell in cells if cell.folder in by_folder}
    failed = {cell.folder: holes[cell.title] for cell in cells if cell.title in holes}
    reasons = {cell.title: failed[cell.folder] for cell in cells if cell.folder in failed}
    return Results(grid, list(cells), measures, reasons)
