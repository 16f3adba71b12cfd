"""`python -m flows.retrain --cron "0 2 * * *"`: nights of retraining on a schedule, one at a time.

A schedule needs a Prefect server: the temporary one that a single run starts for itself schedules nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shlex
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.server.schemas.schedules import CronSchedule

from bmix.cli.command import run_alone
from bmix.cli.options import Edits
from bmix.pipeline.checks import check_inputs
from bmix.pipeline.projects import HOME
from bmix.pipeline.start import run_params
from bmix.support.errors import InputError
from bmix.support.locks import held
from flows.night import night, run_once
from flows.server import check_server, server_errors_told

# A run that would overlap with one that still goes on is cancelled, so none pile up behind a slow one.
ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
LONGEST_INTERVAL = timedelta(days=366)
OFTEN = timedelta(minutes=5)
"""Schedules that start more often are warned of."""


Cron = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help='minute, hour, day, month, day of week in UTC, e.g. "0 2 * * *"'),
]
Interval = Annotated[float | None, typer.Option(metavar="SECONDS", help="seconds from start to start")]
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


def deployment_name(project: Path, edits: list[str]) -> str:
    """What the server knows the schedule by, e.g. `retrain-birds-5d0c6a1f`: another project's is another one.

    By a name that two shared, a run of the one would be taken up by the process of the other, in its folder.
    """
    place = project.resolve()
    digest = hashlib.blake2b("\0".join([str(place), *edits]).encode(errors="surrogateescape"), digest_size=4)
    # Prefect takes no slashes and the like in a name.
    return f"retrain-{re.sub(r'[^A-Za-z0-9._-]+', '-', place.name)}-{digest.hexdigest()}"


def serve(edits: list[str], cron: str | None, interval: float | None) -> None:
    """Run the flow on the schedule until interrupted; then the schedule is paused.

    InputError for what a run would refuse, for a server that does not answer, and where another process serves the same
    project with the same edits: whichever ended first would pause the schedule of both.
    """
    check_inputs(run_params(edits)[1])
    check_server(needed=True)
    deployment = deployment_name(Path.cwd(), edits)
    # Prefect's handler of SIGTERM leaves a coroutine behind that it never needs.
    warnings.filterwarnings("ignore", message="coroutine 'Runner.astop' was never awaited")
    with held(HOME / f"{deployment}.lock", served_already), server_errors_told():
        night.serve(
            name=deployment,
            cron=cron,
            interval=interval,
            parameters={"edits": edits},
            global_limit=ONE_AT_A_TIME,
            description="Trains on what is new, and promotes the model if it is not worse than the champion.",
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
    if once:
        return run_once(edits)
    checked_cron = None if cron is None else check_cron(cron)
    serve(edits, checked_cron, None if interval is None else check_interval(interval))
    return 0


if __name__ == "__main__":
    run_alone(main, "python -m flows.retrain")
