"""`python -m flows.pipeline [--set key=value ...]`: the pipeline as a Prefect flow, a task per stage.

Needs no server; uses the one that PREFECT_API_URL names.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Completed, Failed
from prefect.tasks import Task

from bmix.cli.command import run_alone
from bmix.cli.options import Edits, Name
from bmix.pipeline.checks import check_inputs
from bmix.pipeline.projects import Project, check_name, open_project
from bmix.pipeline.repro import PipelineError, reproduce
from bmix.pipeline.start import run_params
from bmix.pipeline.table import Measures, read_measures, render
from bmix.support.errors import InputError
from bmix.workspace.pipeline_file import stage_names
from flows.server import check_server, server_errors_told

RETRY_DELAYS: list[float] = [10, 60]
MEANINGS = {
    "ran": "the stage was run",
    "cached": "nothing that it depends on had changed",
    "restored": "its outputs were taken from DVC's cache",
}


def run_one(stage: str, project: Project, tell: Callable[[str], None], silence: float | None = None) -> str:
    """Bring one stage up to date: `ran`, `cached` or `restored`; PipelineError where it failed or fell silent."""
    return reproduce(project.folder, stage, tell, project.environment, silence)[stage]


def can_pass_on_second_try(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed stage said that a second try can help: never for wrong input."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, PipelineError) and error.retry


def result_rows(measures: Measures) -> list[dict[str, str]]:
    """The table artifact: a row per measure, in percent."""
    return [{"measure": name, "%": "–" if value is None else f"{100 * value:.1f}"} for name, value in measures.items()]


@task(
    name="stage",
    task_run_name="{stage}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=can_pass_on_second_try,
)
def run_stage(stage: str, project: Project, silence: float | None = None) -> State[None]:
    """One stage; its state is named Ran, Cached or Restored. silence: see `reproduce`."""
    try:
        state = run_one(stage, project, get_run_logger().info, silence)
    except PipelineError as error:
        # Returned, not raised: the message says all, a traceback through Prefect would bury it.
        return Failed(message=str(error), data=error)
    return Completed(name=state.capitalize(), message=MEANINGS[state])


@flow(name="bmix-pipeline", persist_result=False, validate_parameters=True)
def pipeline(edits: list[str] | None = None, name: str = "") -> State[None]:
    """All stages in order, after checks; with `key=value` edits of params.yaml, or a name, in a copy of the project."""
    logger = get_run_logger()
    try:
        project = open_project(edits or [], name)
    except (InputError, OSError) as error:
        return Failed(message=str(error))
    if project.folder != Path():
        logger.info("runs in %s", project.folder)
    for stage in stage_names():
        state = run_stage(stage, project, return_state=True)
        if not state.is_completed():
            return Failed(message=state.message)
    measures = read_measures(project.folder)
    rows = result_rows(measures)
    create_table_artifact(key="bmix-result", table=rows, description=f"Result in {project.folder}")
    logger.info("result\n%s", render({"result": [measures]}))
    return Completed(message=f"mAP {rows[0]['%']}")


def run_once(edits: list[str], name: str = "") -> int:
    """Run the flow in this process: 0, or 1 after telling what failed; wrong input is refused before Prefect starts."""
    check_name(name)
    check_inputs(run_params(edits)[1])
    check_server(needed=False)
    with server_errors_told():
        state = pipeline(edits, name, return_state=True)
    if state.is_completed():
        return 0
    print(f"error: {state.message}", file=sys.stderr)
    return 1


def main(edits: Edits = [], name: Name = "") -> int:  # noqa: B006 - typer's way to say that there may be none
    """The pipeline as a Prefect flow, once, a task per stage; needs no server, and uses the one of PREFECT_API_URL.

    Example: python -m flows.pipeline --set training.epochs=40
    """
    return run_once(edits, name)


if __name__ == "__main__":
    run_alone(main, "python -m flows.pipeline")
