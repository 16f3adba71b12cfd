"""One night of retraining as a Prefect flow: a task per stage and gate, a state and a name that tell the result."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from bmix.pipeline.checks import edited_params
from bmix.pipeline.projects import Project
from bmix.pipeline.repro import PipelineError
from bmix.retraining import history
from bmix.retraining.findings import Finding, reason, refused, render
from bmix.retraining.history import NightRecord
from bmix.retraining.night import BusyError, Tools, run_night
from flows.killed import mark_crashed
from flows.pipeline import run_stage
from flows.server import check_server, server_errors_told

FLOW = RESULT = "bmix-night"
"""The name of the flow, and the key of its artifacts."""
EXIT_REJECTED = 3
_STATES: dict[str, tuple[StateType, str]] = {
    history.PROMOTED: (StateType.COMPLETED, "Promoted"),
    history.NOTHING_NEW: (StateType.COMPLETED, "NothingNew"),
    history.BY_DATA: (StateType.FAILED, "RejectedByDataGate"),
    history.BY_MODEL: (StateType.FAILED, "RejectedByModelGate"),
    history.FAILED: (StateType.FAILED, "Failed"),
}
ENDS = (*(name for _, name in _STATES.values()), "Cancelled", "Crashed")
"""The names of the states that end a night."""


@task(task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def judge_task(name: str, judge: Callable[[], list[Finding]], found: list[Finding]) -> State[None]:
    """A gate; its state is named Passed or Refused, and its table is an artifact."""
    found += judge()
    if found:
        get_run_logger().info("%s\n%s", name, render(found))
        rows = [finding.row() for finding in found]
        create_table_artifact(key=f"{RESULT}-{name.replace(' ', '-')}", table=rows, description=name)
    if refused(found):
        return Failed(name="Refused", message=reason(found))
    return Completed(name="Passed", message=f"{len(found)} things looked at" if found else "nothing to compare with")


def _tools() -> Tools:
    logger = get_run_logger()

    def stage(name: str, project: Project) -> None:
        state = run_stage(name, project, project.params.retrain.silence * 60.0, return_state=True)
        if not state.is_completed():
            error = state.result(raise_on_failure=False)
            raise error if isinstance(error, PipelineError) else PipelineError(state.message or f"{name} failed")

    def gate(name: str, judge: Callable[[], list[Finding]]) -> list[Finding]:
        found: list[Finding] = []
        state = judge_task(name, judge, found, return_state=True)
        if not state.is_completed() and not refused(found):
            # Neither passed nor refused: reading what it judges failed.
            state.result()
        return found

    return Tools(stage, gate, logger.info, run=flow_run.get_id() or "", dead=mark_crashed)


@flow(name=FLOW, flow_run_name=lambda: f"night {_now()}", persist_result=False, validate_parameters=True)
def night(edits: list[str] | None = None) -> State[None]:
    """One night: nothing new, rejected by a gate, failed, or a new champion, which alone changes what is served."""
    try:
        record = run_night(edits or [], _tools())
    except BusyError as busy:
        _rename("cancelled")
        return Cancelled(message=str(busy))
    create_markdown_artifact(key=RESULT, markdown=summary(record), description=f"{record.night}: {record.result}")
    _rename(record.result)
    kind, name = _STATES[record.result]
    return State(type=kind, name=name, message=told(record))


def told(record: NightRecord) -> str:
    """The night in a line."""
    return ": ".join([record.result, *([record.reason] if record.reason else [])])


def summary(record: NightRecord) -> str:
    """The night as Markdown: decision, figures, and where to look."""
    champion = "none" if record.version is None else f"version {record.version}"
    lines = [f"# {record.result}", "", record.reason or "–", "", f"Champion: {champion}.", ""]
    pairs = [("all", record.candidate_map, record.champion_map), ("few", record.candidate_few, record.champion_few)]
    if record.candidate_map is not None:
        lines += ["| mAP, % | candidate | champion before |", "| --- | --- | --- |"]
        lines += [f"| {group} | {_percent(new)} | {_percent(old)} |" for group, new, old in pairs]
        lines += [""]
    if record.findings:
        lines += ["| what | before | now | limit | |", "| --- | --- | --- | --- | --- |"]
        rows = [[cell.replace("|", "\\|") for cell in finding.row().values()] for finding in record.findings]
        lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    if record.run:
        lines += [f"Report: `{record.run}/report.html`."]
    return "\n".join(lines)


def run_once(edits: list[str]) -> int:
    """One night in this process: 0 if it promoted or found nothing new, 3 if a gate rejected, 1 if it did not end."""
    edited_params(edits)
    check_server(needed=False)
    with server_errors_told():
        state = night(edits, return_state=True)
    if state.is_completed():
        print(state.message)
        return 0
    print(f"error: {state.message}", file=sys.stderr)
    return EXIT_REJECTED if (state.name or "").startswith("Rejected") else 1


def _rename(result: str) -> None:
    """Have the run's name tell the date and the result."""
    with get_client(sync_client=True) as client:
        client.update_flow_run(UUID(flow_run.get_id()), name=f"{_now()} · {result}")


def _now() -> str:
    started: Any = flow_run.get_scheduled_start_time() if flow_run.get_id() else None
    return (started or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
