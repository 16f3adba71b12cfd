"""What Prefect's server knows this project's flows by, and flows that the workers of a pool run in its folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, cast

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound

from bmix.support.errors import InputError
from flows.automations import HEARTBEATS


def deployment_name(project: Path, edits: list[str]) -> str:
    """What the server knows the schedule by, e.g. `retrain-birds-5d0c6a1f`: another project's is another one.

    By a name that two shared, a run of the one would be taken up by the process of the other, in its folder.
    """
    place = project.resolve()
    digest = hashlib.blake2b("\0".join([str(place), *edits]).encode(errors="surrogateescape"), digest_size=4)
    # Prefect takes no slashes and the like in a name.
    return f"retrain-{re.sub(r'[^A-Za-z0-9._-]+', '-', place.name)}-{digest.hexdigest()}"


def check_pool(client: SyncPrefectClient, pool: str) -> None:
    """InputError unless the server has a work pool of this name whose workers run processes."""
    try:
        found = client.read_work_pool(pool)
    except ObjectNotFound as error:
        remedy = f"make it: prefect work-pool create {pool} --type process"
        raise InputError("--work-pool", f"the server has no pool {pool}", "one of its work pools", remedy) from error
    if found.type != "process":
        expected = "a pool of type process, whose workers run in this folder"
        raise InputError("--work-pool", f"{pool} is of type {found.type}", expected, "name another")


def deploy_here(entrypoint: str, name: str, pool: str, **schedule: Any) -> None:
    """Make a flow known to a work pool, whose workers run it in this folder, watched by heartbeats.

    entrypoint: e.g. `flows/night.py:night`. schedule: further arguments of Prefect's `deploy`.
    """
    here = str(Path.cwd())
    # Typed as if this were called where an event loop runs.
    source = cast(Flow[..., Any], Flow.from_source(source=here, entrypoint=entrypoint))
    source.deploy(
        name=name,
        work_pool_name=pool,
        job_variables={"working_dir": here, "env": HEARTBEATS},
        print_next_steps=False,
        ignore_warnings=True,
        **schedule,
    )
