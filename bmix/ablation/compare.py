"""Several recipes on the same data, each with several seeds: a grid of one setting, run without Prefect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from bmix.ablation.cells import Cell, cells_of
from bmix.ablation.grid import Grid, Row
from bmix.ablation.work import Plan, leaders, plan, prepare_data, refused, run_cell
from bmix.pipeline.repro import PipelineError, stop_running
from bmix.pipeline.table import Measures, read_measures
from bmix.support.pace import Pace

_SETTING = ""


def plan_runs(recipes: Sequence[str], seeds: Sequence[int], edits: list[str]) -> Plan:
    """A cell for every recipe and seed, no seed for those of params.yaml; InputError for input that a stage refuses.

    A seed sets training.seed and noise.seed; data.seed stays.
    """
    rows = tuple(Row(recipe, (f"training.recipe={recipe}",), (_SETTING,)) for recipe in recipes)
    grid = Grid("compare", "", "", rows, {_SETTING: ()})
    work = plan(cells_of(grid, seeds or [None], edits))
    for fault in refused(work.missing).values():
        raise fault
    return work


def run_all(work: Plan, jobs: int, tell: Callable[[str], None] = print) -> dict[str, str]:
    """Bring every unfinished cell up to date, `jobs` at a time; why cells failed, by title.

    One cell's failure does not stop the others.
    """

    def run(cell: Cell) -> str | None:
        def tell_titled(line: str) -> None:
            tell(f"[{cell.title}] {line}" if line else line)

        try:
            run_cell(cell, tell_titled)
        except PipelineError as error:
            return str(error)
        return None

    pool, pace = ThreadPoolExecutor(max_workers=jobs), Pace("compared", len(work.missing), unit="runs")
    faults: dict[str, str] = {}
    try:
        if jobs > 1:
            _prepare_once(work.missing, tell)
        for count, (cell, fault) in enumerate(zip(work.missing, pool.map(run, work.missing), strict=True), start=1):
            if fault is not None:
                faults[cell.title] = fault
            tell(str(pace.at(count)))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        stop_running()
        raise
    pool.shutdown()
    return faults


def _prepare_once(cells: Sequence[Cell], tell: Callable[[str], None]) -> None:
    """The data that all share, made before they start; a cell tells again what fails here."""
    for cell in leaders(cells, "prepare").values():
        try:
            prepare_data(cell, tell)
        except PipelineError:
            continue


def columns(work: Plan, faults: dict[str, str]) -> dict[str, list[Measures]]:
    """The measures of the cells that came to an end, by recipe."""
    found: dict[str, list[Measures]] = {cell.row: [] for cell in work.cells}
    for cell in work.cells:
        if cell.title not in faults:
            found[cell.row].append(read_measures(cell.folder))
    return found


def folders(work: Plan) -> str:
    """A line per cell with its folder, and whether it is finished."""
    finished = {cell.title for cell in work.finished}
    return "\n".join(
        f"{cell.title} {'is finished' if cell.title in finished else 'runs'} in {cell.folder}" for cell in work.cells
    )
