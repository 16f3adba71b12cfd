"""Nights whose process was killed: shown as crashed, so that the next one finds the place free."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from bmix.retraining.night import LOCK, BusyError
from bmix.support.locks import held

_KILLED = "its process was killed"
_AT_WORK = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def mark_crashed(run: str) -> None:
    """Have Prefect show the flow run of a night whose process was killed as crashed, unless it knows of its end."""
    with suppress(ObjectNotFound, ValueError), get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(run)).state
        if state is None or not state.is_final():
            client.set_flow_run_state(UUID(run), Crashed(message=_KILLED), force=True)


def free_place(deployment: str) -> int:
    """Mark the runs of a schedule that nobody is at work on as crashed; how many there were.

    Prefect's server keeps the place of a run for the 300 seconds of its last lease, and for good if it was restarted
    meanwhile; a run that is marked gives it back at once. To be called by whoever holds the lock of the schedule. A
    night that outlived its schedule is left alone: it holds the lock of the nights.
    """
    with suppress(BusyError), held(LOCK, BusyError), get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_AT_WORK))),
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[deployment])),
        )
        for run in runs:
            client.set_flow_run_state(run.id, Crashed(message=_KILLED), force=True)
        return len(runs)
    return 0
