"""`python -m flows.retrain --cron "0 2 * * *"`: the same flow on a schedule, one run at a time.

A schedule needs a Prefect server: the temporary one that a single run starts for itself schedules nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
import urllib.error
import urllib.request
import warnings
from pathlib import Path

from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.settings import get_current_settings

from bmix.pipeline.checks import check_inputs, edited_params
from bmix.pipeline.projects import HOME
from bmix.support import console
from bmix.support.errors import InputError
from bmix.support.locks import held
from flows.pipeline import add_edits, pipeline, run_once

# A run that would overlap with one that still goes on is cancelled, so none pile up behind a slow one.
ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
START_A_SERVER = (
    "start one with `prefect server start --host 127.0.0.1` in a terminal of its own "
    "and set PREFECT_API_URL=http://127.0.0.1:4200/api, or run once without a schedule: --once"
)
_SECONDS_TO_ANSWER = 5


def check_cron(text: str) -> str:
    """The cron expression as it stands; InputError where Prefect would not take it."""
    try:
        CronSchedule(cron=text)
    except ValueError as error:
        raise InputError(
            "--cron",
            f"{text!r} is no cron expression",
            "five fields: minute, hour, day, month, day of week",
            'correct it, e.g. --cron "0 2 * * *" for every night at two',
        ) from error
    return text


def check_interval(seconds: float) -> float:
    """The seconds as they stand; InputError where they are not at least 1."""
    if not math.isfinite(seconds) or seconds < 1:
        raise InputError("--interval", f"{seconds:g} seconds", "1 or more", "correct it, e.g. --interval 3600")
    return seconds


def check_server(url: str | None) -> None:
    """InputError where no server is named, or the one named does not answer."""
    if not url:
        raise InputError("PREFECT_API_URL", "names no Prefect server", "one, which keeps the schedule", START_A_SERVER)
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=_SECONDS_TO_ANSWER):
            return
    except urllib.error.HTTPError:
        # It answers; whether it lets us in is Prefect's to tell.
        return
    except (OSError, ValueError) as error:
        raise InputError("PREFECT_API_URL", f"{url} does not answer: {error}", "a server", START_A_SERVER) from error


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
    check_inputs(edited_params(edits)[1])
    check_server(get_current_settings().api.url)
    name = deployment_name(Path.cwd(), edits)
    # Prefect's handler of SIGTERM leaves a coroutine behind that it never needs.
    warnings.filterwarnings("ignore", message="coroutine 'Runner.astop' was never awaited")
    with held(HOME / f"{name}.lock", served_already):
        pipeline.serve(
            name=name,
            cron=cron,
            interval=interval,
            parameters={"edits": edits},
            global_limit=ONE_AT_A_TIME,
            description="Brings the pipeline up to date; what did not change is not run.",
        )


def served_already(process: str) -> InputError:
    """The refusal where `process` serves this schedule."""
    return InputError(
        "python -m flows.retrain",
        f"process {process} keeps this project on a schedule, with the same --set",
        "one schedule for the same params",
        "end that process first",
    )


def main() -> int:
    """Read the command line; serve the schedule or run once."""
    parser = argparse.ArgumentParser(prog="python -m flows.retrain", description="The pipeline on a schedule.")
    when = parser.add_mutually_exclusive_group(required=True)
    when.add_argument("--cron", help='minute, hour, day, month, day of week in UTC, e.g. "0 2 * * *"')
    when.add_argument("--interval", type=float, metavar="SECONDS", help="seconds from start to start")
    when.add_argument("--once", action="store_true", help="now, without a schedule or a server")
    add_edits(parser)
    arguments = parser.parse_args()
    if arguments.once:
        return run_once(arguments.edits)
    cron = None if arguments.cron is None else check_cron(arguments.cron)
    interval = None if arguments.interval is None else check_interval(arguments.interval)
    serve(arguments.edits, cron, interval)
    return 0


if __name__ == "__main__":
    console.run(main)
