"""Cells: one run each of a table, by row, setting and seed, with the folder that it runs in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmix.ablation.grid import Grid
from bmix.params import Params, apply_edits, parse_params, read_yaml
from bmix.pipeline.copies import find_copy
from bmix.pipeline.presets import expand_presets
from bmix.pipeline.projects import RUNS
from bmix.pipeline.start import with_kept_weights
from bmix.workspace.locked import digest
from bmix.workspace.pipeline_file import declared


@dataclass(frozen=True)
class Cell:
    """A run of the pipeline: `edits` of params.yaml, what they come to, and the copy of the project that it runs in.

    seed: None for those of params.yaml.
    """

    row: str
    setting: str
    seed: int | None
    edits: tuple[str, ...]
    params: Params
    content: dict[str, Any]
    folder: Path

    @property
    def title(self) -> str:
        """What lines about this cell start with."""
        seed = "" if self.seed is None else f"seed {self.seed}"
        return " · ".join(part for part in (self.row, self.setting, seed) if part)

    def key_of(self, stage: str) -> str:
        """A digest of the params that a stage and those before it read: cells with an equal one share its outputs.

        Known stages: prepare and warmup.
        """
        before = {"prepare": ("prepare",), "warmup": ("prepare", "noise", "warmup")}[stage]
        flat = self.params.flat()
        return digest([declared(name, flat).settings(flat) for name in before])


def cells_of(grid: Grid, seeds: Sequence[int | None] | None = None, edits: Sequence[str] = ()) -> list[Cell]:
    """Every cell of a grid, settings before rows before seeds, so that what comes first is a whole row of the table.

    edits: of all cells, before those of the grid's settings and rows, which win. A seed sets training.seed and
    noise.seed, and pretrain.seed too where pretrain.method is edited; data.seed stays. InputError for an edit that
    cannot be.
    """
    content = read_yaml(Path("params.yaml"))
    base = parse_params(content)
    cells = []
    for seed in seeds or grid.seeds:
        for setting, of_setting in grid.settings.items():
            for row in grid.rows:
                if setting not in row.settings:
                    continue
                seeded = () if seed is None else (f"training.seed={seed}", f"noise.seed={seed}")
                own = (*grid.edits, *edits, *of_setting, *row.edits, *seeded)
                if seed is not None and any(edit.startswith("pretrain.method=") for edit in own):
                    own = (*own, f"pretrain.seed={seed}")
                if grid.warmup is not None:
                    epochs = make_cell(content, base, row.name, setting, seed, own).params.training.epochs
                    own = (*own, f"training.warmup_epochs={max(1, round(grid.warmup * epochs))}")
                cells.append(make_cell(content, base, row.name, setting, seed, own))
    return cells


def make_cell(
    content: dict[str, Any], base: Params, row: str, setting: str, seed: int | None, edits: Sequence[str]
) -> Cell:
    """One cell. content, base: of params.yaml, plain and typed. A model to start from is kept: `with_kept_weights`."""
    edited = apply_edits(content, expand_presets(list(edits)))
    params = parse_params(edited, " ".join(["params.yaml", *(f"--set {edit}" for edit in edits)]))
    edited, params = with_kept_weights(edited, params)
    return Cell(row, setting, seed, tuple(edits), params, edited, find_copy(RUNS, base, params))
