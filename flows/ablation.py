"""`python -m flows.ablation --table 5`: the paper's tables, and one's own, as one Prefect flow, a task per cell.

Needs no server; uses the one that PREFECT_API_URL names, and needs it for a work pool.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from prefect import allow_failure, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from bmix.ablation.cells import Cell, cells_of
from bmix.ablation.grid import OWN, Grid, paper_table, read_grid, table_names
from bmix.ablation.report import write_report
from bmix.ablation.results import collect
from bmix.ablation.work import Plan, Progress, duration, leaders, plan, prepare_data, refused, run_cell
from bmix.cli import EXIT_TERMINATED
from bmix.cli.command import run_alone
from bmix.cli.compare import Jobs, Seeds
from bmix.cli.options import Edits, one_of
from bmix.pipeline.checks import output_around
from bmix.pipeline.repro import PipelineError, stop_running
from bmix.support.errors import InputError
from flows.pipeline import RETRY_DELAYS, can_pass_on_second_try
from flows.server import check_server, server_errors_told

PROGRAM = "python -m flows.ablation"
RESULTS = Path("results")
QUICK = "quick"
FIGURES = ("3", "4", "5", "6")
LETTERED = ("G",)


@dataclass
class Work:
    """The cells to be run, how many at a time, and why some of them have no result."""

    name: str
    missing: list[Cell]
    jobs: int
    pool: str | None = None
    holes: dict[str, str] = field(default_factory=dict)


@task(name="prepare", task_run_name="prepare data", cache_policy=NO_CACHE, persist_result=False)
def prepare_task(cell: Cell) -> State[None]:
    """The stage prepare, once for all cells that share its data; a cell tells again what fails here."""
    try:
        prepare_data(cell, get_run_logger().info)
    except (PipelineError, OSError) as error:
        return Failed(message=str(error), data=error)
    return Completed(message="the data are prepared")


@task(
    name="cell",
    task_run_name="{title}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=can_pass_on_second_try,
)
def cell_task(title: str, cell: Cell, pool: str | None, progress: Progress) -> State[None]:
    """One cell: a run of the whole pipeline in its copy of the project."""
    if progress.stopped:
        return Failed(message="the table was stopped")
    try:
        if pool is None:
            seconds = run_cell(cell, get_run_logger().info)
        else:
            from flows.pool import run_in_pool

            seconds = run_in_pool(cell, pool)
    except (PipelineError, OSError, InputError) as error:
        if not getattr(error, "retry", False):
            progress.ended(title, None)
        return Failed(message=str(error), data=error)
    progress.ended(title, seconds)
    return Completed(message=f"took {duration(seconds)}")


def run_cells(work: Work) -> None:
    """One flow run for all missing cells; what failed is noted in `work.holes`."""
    progress = Progress(len(work.missing), work.jobs, lambda line: print(line, flush=True))
    at_a_time = work.jobs if work.pool is None else len(work.missing)

    @flow(
        name="bmix-ablation",
        flow_run_name=work.name,
        persist_result=False,
        task_runner=ThreadPoolTaskRunner(max_workers=max(1, at_a_time)),  # type: ignore[arg-type]
    )
    def ablation(table: str, cells: int) -> State[None]:
        try:
            states = _submit(work, progress)
        except BaseException:
            # The threads that wait for a stage end with it, and none takes up another cell.
            progress.stopped = True
            stop_running()
            raise
        failed = {title: state.message or "failed" for title, state in states.items() if not state.is_completed()}
        work.holes |= failed
        return (
            Failed(message=f"{len(failed)} of {cells} cells failed") if failed else Completed(message=f"{cells} cells")
        )

    try:
        with server_errors_told():
            ablation(work.name, len(work.missing), return_state=True)
    except TerminationSignal:
        sys.exit(EXIT_TERMINATED)


def _submit(work: Work, progress: Progress) -> dict[str, State[Any]]:
    """Every cell as a task, `jobs` at a time; those that would share a warm-up wait for the first that makes it."""
    for first in leaders(work.missing, "prepare").values():
        prepare_task(first, return_state=True)
    warm = leaders(work.missing, "warmup")
    ahead = list(warm.values())
    futures: dict[str, PrefectFuture[Any]] = {}
    for cell in [*ahead, *(cell for cell in work.missing if cell not in ahead)]:
        leader = warm[cell.key_of("warmup")]
        waits = [] if leader is cell else [allow_failure(futures[leader.title])]
        # Prefect's overloads know no wait_for beside the task's own parameters.
        futures[cell.title] = cell_task.submit(cell.title, cell, work.pool, progress, wait_for=waits)  # type: ignore[call-overload]
    return {title: _ended(future) for title, future in futures.items()}


def _ended(future: PrefectFuture[Any]) -> State[Any]:
    future.wait()
    return future.state


def make_table(grid: Grid, work: Plan, jobs: int, pool: str | None, output: Path, command: str) -> int:
    """Run what is missing of one table and write its page: 0, or 1 if a cell has no result."""
    faults = refused(work.missing)
    missing = [cell for cell in work.missing if cell.title not in faults]
    if faults and not missing and not work.finished:
        raise next(iter(faults.values()))
    todo = Work(grid.name, missing, jobs, pool, {title: str(fault) for title, fault in faults.items()})
    if missing:
        check_server(needed=pool is not None)
        if pool is not None:
            from flows.pool import deploy

            with server_errors_told():
                deploy(pool)
        run_cells(todo)
    done = plan(work.cells)
    results = collect(grid, work.cells, done.finished, todo.holes)
    if not results.measures:
        print(
            f"error: no cell of {grid.name} has a result: {next(iter(todo.holes.values()), 'none was run')}",
            file=sys.stderr,
        )
        return 1
    from bmix.ablation.record import record_table

    page = write_report(results, output / grid.name, command)
    record_table(results, output / grid.name)
    print(f"page    {page}")
    for cell, why in results.missing():
        print(f"error: {cell.title}: {why}", file=sys.stderr)
    return 1 if results.missing() else 0


Table = Annotated[
    list[str],
    typer.Option(
        metavar="TABLE...",
        parser=one_of([*table_names(), *LETTERED, *OWN]),
        show_default=False,
        help=f"one or more of the paper's tables {', '.join(table_names())} and {', '.join(LETTERED)}; of other papers "
        f"{', '.join(OWN)}",
    ),
]
Figure = Annotated[
    list[str],
    typer.Option(
        metavar="FIGURE...",
        parser=one_of(FIGURES),
        show_default=False,
        help=f"of the paper's figures {', '.join(FIGURES)}",
    ),
]
Every = Annotated[bool, typer.Option("--all", show_default=False, help="all tables and figures")]
GridFile = Annotated[
    Path | None, typer.Option("--grid", metavar="FILE", show_default=False, help="a table of one's own")
]
Data = Annotated[
    str | None, typer.Option(metavar="PRESET", show_default=False, help="a preset in params/ for the data")
]
DryRun = Annotated[bool, typer.Option("--dry-run", show_default=False, help="tell what would be run, and run nothing")]
Quick = Annotated[
    bool, typer.Option("--quick", show_default=False, help="fewer and shorter runs on the default data: one seed")
]
Pool = Annotated[
    str | None,
    typer.Option("--work-pool", metavar="NAME", show_default=False, help="submit cells to a Prefect process work pool"),
]
Output = Annotated[Path, typer.Option(metavar="FOLDER", help="where each table gets a folder")]


def main(
    table: Table = [],  # noqa: B006
    figure: Figure = [],  # noqa: B006
    every: Every = False,
    grid: GridFile = None,
    data: Data = None,
    seeds: Seeds = [],  # noqa: B006
    jobs: Jobs = 1,
    dry_run: DryRun = False,
    quick: Quick = False,
    work_pool: Pool = None,
    edits: Edits = [],  # noqa: B006
    output: Output = RESULTS,
) -> int:
    """The paper's tables on your data, or a table of your own: runs what is missing, writes CSV, page and figure.

    A cell is a run of the pipeline. Finished cells cost nothing; after a kill the same command goes on.

    Example: python -m flows.ablation --table 5 --quick --jobs 2
    """
    grids = _grids(table, figure, every, grid)
    if quick and data:
        raise InputError("--quick", f"--data {data} is given too", "one of the two", "leave one out")
    _check_folder(output)
    preset = QUICK if quick else data
    chosen: Sequence[int] = list(dict.fromkeys(seeds)) or ([0] if quick else [])
    common = [*([preset] if preset else []), *edits]
    plans = {one.name: plan(cells_of(one, chosen or None, common)) for one in grids}
    for one in grids:
        print(f"{one.name}: {plans[one.name].told(jobs)}", flush=True)
    if dry_run:
        for one in grids:
            _show_cells(plans[one.name])
        return 0
    folder = output / preset if preset else output
    options = _options(preset, quick, chosen, jobs, edits, output)
    # Tables share cells: what is finished is looked up again for each.
    status = [
        make_table(one, plan(plans[one.name].cells), jobs, work_pool, folder, _command(one, grid, options))
        for one in grids
    ]
    return max(status)


def _grids(tables: list[str], figures: list[str], every: bool, file: Path | None) -> list[Grid]:
    if every:
        tables, figures = [*table_names(), *LETTERED], list(FIGURES)
    names = [*tables, *(f"figure-{number}" for number in figures)]
    if not names and file is None:
        found = "it is not said which table"
        raise InputError(PROGRAM, found, "one of --table, --figure, --grid and --all", "e.g. --table 5")
    return [*(paper_table(name) for name in dict.fromkeys(names)), *([read_grid(file)] if file else [])]


def _check_folder(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise InputError("--output", f"{output} is a file", "a folder, which need not exist", "name another")
    if around := output_around(output):
        found = f"{output} is, holds or lies in {around}, which the pipeline writes and removes"
        raise InputError("--output", found, "a folder of yours", "name another")


def _show_cells(work: Plan) -> None:
    for cell in work.cells:
        state = "finished" if cell.folder in {one.folder for one in work.finished} else "to run"
        print(f"  {state:8}  {cell.title}")


def _options(
    preset: str | None, quick: bool, seeds: Sequence[int], jobs: int, edits: Sequence[str], output: Path
) -> list[str]:
    options = ["--quick"] if quick else ["--data", preset] if preset else []
    if seeds and not (quick and list(seeds) == [0]):
        options += ["--seeds", *map(str, seeds)]
    options += ["--jobs", str(jobs)] if jobs > 1 else []
    options += ["--set", *edits] if edits else []
    return options + (["--output", str(output)] if output != RESULTS else [])


def _command(grid: Grid, file: Path | None, options: Sequence[str]) -> str:
    kind, _, number = grid.name.partition("-")
    if file is not None and grid.name == file.stem:
        what = ["--grid", str(file)]
    else:
        what = [f"--{kind}", number] if number else ["--table", grid.name]
    return f"{PROGRAM} {shlex.join([*what, *options])}"


if __name__ == "__main__":
    run_alone(main, PROGRAM)
