"""`python -m flows.retrain --cron "0 2 * * *"`: nights of retraining on a schedule, one at a time.

A schedule needs a Prefect server: the temporary one that a single run starts for itself schedules nothing.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.server.schemas.schedules import CronSchedule

from bmix.cli.command import run_alone
from bmix.cli.options import Edits
from bmix.pipeline.checks import check_inputs
from bmix.pipeline.projects import HOME
from bmix.pipeline.start import run_params
from bmix.support.errors import InputError
from bmix.support.locks import held
from flows.automations import keep_automation, silent_runs_crash
from flows.deployments import check_pool, deploy_here, deployment_name
from flows.killed import free_place
from flows.night import ENDS, FLOW, night, run_once
from flows.server import check_server, server_errors_told, warn_of_forgotten_leases

# A run that would overlap with one that still goes on is cancelled, so none pile up behind a slow one.
ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
DESCRIPTION = "Trains on what is new, and promotes the model if it is not worse than the champion."
LONGEST_INTERVAL = timedelta(days=366)
OFTEN = timedelta(minutes=5)
"""Schedules that start more often are warned of."""


Cron = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help='minute, hour, day, month, day of week in UTC, e.g. "0 2 * * *"'),
]
Interval = Annotated[float | None, typer.Option(metavar="SECONDS", help="seconds from start to start")]
Pool = Annotated[
    str | None,
    typer.Option("--work-pool", metavar="NAME", help="leave the nights to the workers of a Prefect process work pool"),
]
Once = Annotated[bool, typer.Option("--once", help="now, without a schedule or a server")]


def check_cron(text: str) -> str:
    """The cron expression as it stands; InputError if Prefect would not take it, for seconds, and if it never fires.

    One that starts more often than every five minutes is warned of.
    """

    def refused(found: str) -> InputError:
        return InputError(
            "--cron",
            f"{text!r} {found}",
            "five fields: minute, hour, day, month, day of week",
            'correct it, e.g. --cron "0 2 * * *" for every night at two',
        )

    try:
        schedule = CronSchedule(cron=text)
    except ValueError as error:
        raise refused("is not a cron expression") from error
    fields = text.split()
    if len(fields) != 5 and not text.strip().startswith("@"):
        raise refused(f"has {len(fields)} fields; a schedule has no seconds")
    try:
        first, second = asyncio.run(schedule.get_dates(2))
    except ValueError as error:
        raise refused("names no day that there is") from error
    if second - first < OFTEN:
        print(
            f"warning: --cron {shlex.quote(text)} starts every {(second - first).total_seconds():.0f} s; "
            "a run that would overlap with the one before is cancelled",
            file=sys.stderr,
        )
    return text


def check_interval(seconds: float) -> float:
    """The seconds as they stand; InputError unless they are from 1 to a year."""
    if not 1 <= seconds <= LONGEST_INTERVAL.total_seconds():
        expected = f"from 1 to {LONGEST_INTERVAL.total_seconds():.0f}, a year"
        raise InputError("--interval", f"{seconds:g} seconds", expected, "correct it, e.g. --interval 3600")
    return seconds


def serve(edits: list[str], cron: str | None, interval: float | None) -> None:
    """Run the flow on the schedule until interrupted; then the schedule is paused.

    InputError for what a run would refuse, for a server that does not answer, and where another process serves the same
    project with the same edits: whichever ended first would pause the schedule of both.
    """
    check_inputs(run_params(edits)[1])
    check_server(needed=True)
    warn_of_forgotten_leases()
    deployment = deployment_name(Path.cwd(), edits)
    # Prefect's handler of SIGTERM leaves a coroutine behind that it never needs.
    warnings.filterwarnings("ignore", message="coroutine 'Runner.astop' was never awaited")
    with held(HOME / f"{deployment}.lock", served_already), server_errors_told():
        if killed := free_place(deployment):
            print(f"nights that were killed, and are marked as crashed: {killed}", flush=True)
        night.serve(
            name=deployment,
            cron=cron,
            interval=interval,
            parameters={"edits": edits},
            global_limit=ONE_AT_A_TIME,
            description=DESCRIPTION,
        )


def deploy(edits: list[str], cron: str | None, interval: float | None, pool: str) -> None:
    """Have the workers of a pool, which run in this folder, take up the nights of the schedule; InputError as `serve`.

    A night whose worker and process went away is marked as crashed by Prefect's server, and another worker takes up the
    next one.
    """
    check_inputs(run_params(edits)[1])
    check_server(needed=True)
    warn_of_forgotten_leases()
    deployment = deployment_name(Path.cwd(), edits)
    with held(HOME / f"{deployment}.lock", served_already), server_errors_told():
        with get_client(sync_client=True) as client:
            check_pool(client, pool)
            keep_automation(client, silent_runs_crash(FLOW, ENDS))
        deploy_here(
            "flows/night.py:night",
            deployment,
            pool,
            cron=cron,
            interval=interval,
            parameters={"edits": edits},
            concurrency_limit=ONE_AT_A_TIME,
            description=DESCRIPTION,
        )
    print(
        f"the schedule {deployment} waits for workers: prefect worker start --pool {pool}\n"
        f"to end it: prefect deployment delete {FLOW}/{deployment}"
    )


def served_already(process: str) -> InputError:
    """The refusal where `process` serves this schedule."""
    return InputError(
        "python -m flows.retrain",
        f"process {process} keeps this project on a schedule, with the same --set",
        "one schedule for the same params",
        "end that process first",
    )


def main(
    cron: Cron = None,
    interval: Interval = None,
    work_pool: Pool = None,
    once: Once = False,
    edits: Edits = [],  # noqa: B006
) -> int:
    """Nights of retraining, one at a time: one of --cron, --interval and --once says when.

    A candidate is trained apart from the model that is served, models/champion, and takes its place only if the new
    data and the comparison of the two pass (docs/retraining.md). A schedule needs a Prefect server, which
    PREFECT_API_URL names. The status of --once is 3 if a gate rejected the night.

    Example: python -m flows.retrain --cron "0 2 * * *"
    """
    given = [name for name, value in (("--cron", cron), ("--interval", interval), ("--once", once)) if value]
    if len(given) != 1:
        found = f"{' and '.join(given)} are given" if given else "it is not said when to run"
        raise InputError("python -m flows.retrain", found, "one of --cron, --interval and --once", "give one of them")
    if once and work_pool:
        raise InputError(
            "--once", "--work-pool is given too", "a night in this process, or a schedule", "leave one out"
        )
    if once:
        return run_once(edits)
    checked_cron = None if cron is None else check_cron(cron)
    checked_interval = None if interval is None else check_interval(interval)
    if work_pool:
        deploy(edits, checked_cron, checked_interval, work_pool)
    else:
        serve(edits, checked_cron, checked_interval)
    return 0


if __name__ == "__main__":
    run_alone(main, "python -m flows.retrain")
