"""Cells on a Prefect work pool: each a flow run that any worker takes up in this project's folder.

The workers see the folder of the project: they run on this machine, or on others that mount it at the same place.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import cast

import httpx
from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Cancelling, Completed, Failed, StateType

from bmix.ablation.cells import Cell, make_cell
from bmix.ablation.work import run_cell
from bmix.params import parse_params, read_yaml
from bmix.pipeline.repro import PipelineError
from bmix.support.errors import InputError
from flows.automations import keep_automation, silent_runs_crash
from flows.deployments import check_pool, deploy_here, deployment_name

SECONDS_BETWEEN_LOOKS = 3
FLOW = "bmix-cell"
PATIENCE = timedelta(minutes=10)
"""How long a cell waits for a pool without a worker."""
AGAIN = "Again"
"""The name of a failed state of which a second try can help."""

_MINUTES = PATIENCE.total_seconds() / 60
_UNREACHABLE = (httpx.HTTPError, PrefectHTTPStatusError)
_ENDS = ("Completed", "Failed", "Crashed", "Cancelled", AGAIN)


@flow(name=FLOW, flow_run_name="{title}", persist_result=False)
def pool_cell(title: str, row: str, setting: str, seed: int | None, edits: list[str]) -> State[None]:
    """One cell, by a worker."""
    content = read_yaml(Path("params.yaml"))
    try:
        seconds = run_cell(make_cell(content, parse_params(content), row, setting, seed, edits), get_run_logger().info)
    except (PipelineError, OSError, InputError) as error:
        again = getattr(error, "retry", False)
        return Failed(name=AGAIN if again else "Failed", message=str(error))
    return Completed(message=str(seconds))


def deploy(pool: str) -> None:
    """Make the cells' flow known to a work pool of processes; InputError if there is none of this name and type."""
    with get_client(sync_client=True) as client:
        check_pool(client, pool)
        keep_automation(client, silent_runs_crash(FLOW, _ENDS))
    deploy_here("flows/pool.py:pool_cell", _deployment(), pool)


def run_in_pool(cell: Cell, pool: str) -> float:
    """Submit a cell and wait until it has ended; the seconds that it took.

    PipelineError if it failed: to be tried again if its worker went away. A pool that has no worker for PATIENCE is a
    failure too.
    """
    parameters = {"title": cell.title, "row": cell.row, "setting": cell.setting, "seed": cell.seed}
    whole = {**parameters, "edits": list(cell.edits)}
    try:
        run = cast(FlowRun, run_deployment(f"{FLOW}/{_deployment()}", parameters=whole, timeout=0, tags=[FLOW]))
    except _UNREACHABLE as error:
        raise PipelineError(f"Prefect's server did not take the cell: {error}", retry=True) from error
    waited = _Waiting(pool)
    with get_client(sync_client=True) as client:
        while True:
            # A server that is busy answers again; one that stays away is an error after PATIENCE.
            with waited.server_may_be_busy():
                state = client.read_flow_run(run.id).state
                if state is not None and state.is_final():
                    return _seconds(state, run)
                if waited.in_vain(client, state):
                    client.set_flow_run_state(run.id, Cancelling(), force=True)
                    raise PipelineError(
                        f"the pool {pool} has had no worker for {_MINUTES:.0f} minutes\n"
                        f"  fix: start one in this folder: prefect worker start --pool {pool}"
                    )
            time.sleep(SECONDS_BETWEEN_LOOKS)


class _Waiting:
    """Since when nobody has been there: no worker of the pool, or no server."""

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._no_worker_since = self._no_server_since = time.monotonic()

    @contextmanager
    def server_may_be_busy(self) -> Iterator[None]:
        """Let errors of the connection pass, until there have been no others for PATIENCE: a PipelineError."""
        try:
            yield
            self._no_server_since = time.monotonic()
        except _UNREACHABLE as error:
            if time.monotonic() - self._no_server_since > PATIENCE.total_seconds():
                raise PipelineError(f"Prefect's server has not answered for {_MINUTES:.0f} minutes: {error}") from error

    def in_vain(self, client: SyncPrefectClient, state: State | None) -> bool:
        """Whether the run has waited for PATIENCE without a worker in the pool."""
        waiting = state is None or state.type in (StateType.SCHEDULED, StateType.PENDING)
        if not waiting or _has_worker(client, self._pool):
            self._no_worker_since = time.monotonic()
        return time.monotonic() - self._no_worker_since > PATIENCE.total_seconds()


def _seconds(state: State, run: FlowRun) -> float:
    if state.is_completed():
        return float(state.message or 0)
    again = state.name == AGAIN or state.is_crashed()
    raise PipelineError(state.message or f"the flow run {run.name} ended as {state.name}", retry=again)


def _has_worker(client: SyncPrefectClient, pool: str) -> bool:
    return any(worker.status == WorkerStatus.ONLINE for worker in client.read_workers_for_work_pool(pool))


def _deployment() -> str:
    return deployment_name(Path.cwd(), []).replace("retrain-", "cells-")
