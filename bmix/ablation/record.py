"""A table in MLflow: a run per table, and below it one per cell, so that the compare view shows the table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmix.ablation.cells import Cell
from bmix.ablation.finished import read_mark
from bmix.ablation.results import Results
from bmix.support.files import read_json, write_json
from bmix.tracking.destination import Destination, destination, tracking_on
from bmix.tracking.metric_names import metric_key
from bmix.workspace.locked import digest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from bmix.tracking.record import Point
    from bmix.tracking.runs import Experiment

TABLE_TAG, CELL_TAG, ROW_TAG, SETTING_TAG, SEED_TAG = (
    "bmix.table",
    "bmix.cell",
    "bmix.row",
    "bmix.setting",
    "bmix.seed",
)
CONTENT_TAG, RECORD_TAG = "bmix.cell_digest", "bmix.record"
STAMPS = Path(".bmix/tables")


@dataclass(frozen=True)
class CellRun:
    """What a cell's run in MLflow holds. record: the id of the run with the cell's whole record, if there is one."""

    cell: Cell
    digest: str
    record: str | None


def record_table(results: Results, folder: Path) -> None:
    """Bring the record of a table up to date; one that cannot be sent is a warning, for the results are on disk.

    Nothing is sent twice: a stamp tells what was sent where.
    """
    if not tracking_on():
        return
    target, runs = destination(), [_cell_run(cell) for cell in results.cells if cell.title in results.measures]
    stamp = STAMPS / f"{folder.parent.name}-{results.grid.name}.json"
    expected = {"uri": target.shown, "experiment": target.experiment, "cells": digest([run.digest for run in runs])}
    if _read(stamp) == expected:
        return
    name = results.grid.name if folder.parent.name == "results" else f"{results.grid.name}, {folder.parent.name}"
    try:
        _send(results, name, folder, runs, target)
    # MLflow passes on the errors of many libraries; none of them may fail a table whose results are whole.
    except Exception as error:
        from bmix.tracking.faults import reason, remedy

        print(
            f"warning: the table is not in the MLflow record at {target.shown}: {reason(error, target)}\n"
            f"  the results on disk are whole; fix: {remedy(error, target)}, then run the same command again",
            file=sys.stderr,
        )
        return
    write_json(stamp, expected)
    print(f"record  MLflow run {name} with {len(runs)} cells below it")


def _cell_run(cell: Cell) -> CellRun:
    mark = {key: value for key, value in (read_mark(cell.folder) or {}).items() if key != "seconds"}
    published = _read(cell.folder / ".bmix" / "published.json") or {}
    record = published.get("sent", {}).get("parent") if isinstance(published.get("sent"), dict) else None
    return CellRun(cell, digest([cell.row, cell.setting, cell.seed, mark]), record)


def _send(results: Results, name: str, folder: Path, cells: list[CellRun], target: Destination) -> None:
    from bmix.tracking.reach import check_reachable, only_one
    from bmix.tracking.runs import PARENT_TAG, SOURCE_TAGS, connect, ensure_experiment, find_runs, log_content

    check_reachable(target)
    client = connect(target)
    with only_one(target):
        experiment = ensure_experiment(client, target)
        tables = find_runs(client, experiment, {TABLE_TAG: name, CELL_TAG: "none"})
        if tables:
            parent = str(tables[0].info.run_id)
        else:
            tags = {**SOURCE_TAGS, TABLE_TAG: name, CELL_TAG: "none"}
            parent = str(client.create_run(experiment.id, run_name=name, tags=tags).info.run_id)
        before = find_runs(client, experiment, {PARENT_TAG: parent})
        _write_cells(client, experiment, results, name, parent, cells, before)
        log_content(client, parent, [(path, "") for path in sorted(folder.iterdir()) if path.is_file()], [])
        client.set_terminated(parent, "FINISHED")


def _write_cells(
    client: MlflowClient,
    experiment: Experiment,
    results: Results,
    name: str,
    parent: str,
    cells: list[CellRun],
    before: list[Run],
) -> None:
    """A run for each cell that has none with its content; one of another content is tagged superseded and stays."""
    from bmix.tracking.runs import PARENT_TAG, SOURCE_TAGS, log_params, log_points
    from bmix.tracking.send import SUPERSEDED_TAG

    known = {run.data.tags.get(CONTENT_TAG): run for run in before if run.info.status == "FINISHED"}
    current = {one.digest for one in cells}
    for one in cells:
        if one.digest in known:
            if SUPERSEDED_TAG in known[one.digest].data.tags:
                client.delete_tag(known[one.digest].info.run_id, SUPERSEDED_TAG)
            continue
        cell = one.cell
        tags = {
            **SOURCE_TAGS,
            PARENT_TAG: parent,
            TABLE_TAG: name,
            CELL_TAG: cell.title,
            ROW_TAG: cell.row,
            SETTING_TAG: cell.setting,
            SEED_TAG: str(cell.seed),
            CONTENT_TAG: one.digest,
            **({RECORD_TAG: one.record} if one.record else {}),
        }
        run_id = str(client.create_run(experiment.id, run_name=cell.title, tags=tags).info.run_id)
        log_params(client, run_id, _varied(cell, results))
        log_points(client, run_id, _points(cell, results.measures[cell.title]))
        client.set_terminated(run_id, "FINISHED")
    for run in before:
        if run.data.tags.get(CONTENT_TAG) not in current:
            client.set_tag(run.info.run_id, SUPERSEDED_TAG, parent)


def _varied(cell: Cell, results: Results) -> dict[str, Any]:
    """Row, setting and seed, and the settings in which the table's cells differ, which the compare view shows."""
    own, flats = cell.params.flat(), [other.params.flat() for other in results.cells]
    varied = {key: value for key, value in own.items() if any(flat.get(key) != value for flat in flats)}
    return {"row": cell.row, "setting": cell.setting, "seed": cell.seed, **varied}


def _points(cell: Cell, measures: Mapping[str, float | None]) -> list[Point]:
    import math

    import pandas as pd

    from bmix.tracking.record import Point
    from bmix.tracking.tables import history_columns

    points = [Point(metric_key(name), value) for name, value in measures.items() if value is not None]
    history = history_columns(pd.read_csv(cell.folder / "history.csv"))
    return points + [
        Point(str(key), value, int(epoch))
        for key, column in history.items()
        for epoch, value in zip(history.index, column.tolist(), strict=True)
        if math.isfinite(value)
    ]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
