"""The process behind a LiveRun: JSON lines on standard input become a run in MLflow.

It answers `ready` once the run is there, or one line `failed: REASON`. When its input ends without a last message, the
training was killed, and so the run is marked.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from bmix.support import console
from bmix.tracking.destination import Destination, destination
from bmix.tracking.faults import reason
from bmix.tracking.reach import check_reachable, only_one
from bmix.tracking.tables import history_key
from bmix.workspace.locked import digest

if TYPE_CHECKING:
    from mlflow import MlflowClient


def main() -> None:
    """Follow standard input to its end."""
    # Ctrl-C reaches the whole group of processes; the training tells how it ended, or its pipe closes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)
    target = destination()
    try:
        follow(sys.stdin, target)
    # MLflow passes on the errors of many libraries; all of them mean that nobody can watch, and no more.
    except Exception as error:
        print(f"failed: {target.shown}: {reason(error, target)}", flush=True)


def follow(lines: Iterable[str], target: Destination) -> None:
    """Open the run that the first line names, log a line per epoch, and end the run."""
    messages: Iterator[dict[str, Any]] = map(json.loads, lines)
    first = next(messages)
    check_reachable(target)
    from bmix.tracking.record import Point
    from bmix.tracking.runs import connect, log_points

    client = connect(target)
    parent, run = _open(client, target, first["stage"], first["params"])
    print("ready", flush=True)
    status = "KILLED"
    for message in messages:
        if "end" in message:
            status = message["end"]
            break
        points = [Point(history_key(key), value, message["epoch"]) for key, value in message["metrics"].items()]
        log_points(client, run, points)
    client.set_terminated(run, status)
    if status != "FINISHED" and client.get_run(parent).info.status == "RUNNING":
        client.set_terminated(parent, status)


def _open(client: MlflowClient, target: Destination, stage: str, params: dict[str, Any]) -> tuple[str, str]:
    """A live parent of these params and the data on disk, which warmup and train share, and a run of the stage in it.

    A parent that holds a record is left alone: publish decides whose record this run becomes.
    """
    from bmix.tracking import runs
    from bmix.tracking.identity import data_digest
    from bmix.tracking.tags import run_name
    from bmix.workspace.run_note import given_name

    marks = {runs.PARAMS_TAG: digest(params), runs.DATA_TAG: data_digest(), runs.LIVE_TAG: "true"}
    with only_one(target):
        experiment = runs.ensure_experiment(client, target)
        parents = runs.find_runs(client, experiment, marks)
        for child in runs.find_children(client, experiment, parents):
            if child.data.tags[runs.STAGE_TAG] == stage:
                client.delete_run(child.info.run_id)
        if parents:
            parent = str(parents[0].info.run_id)
            client.update_run(parent, status="RUNNING")
        else:
            tags = {**runs.SOURCE_TAGS, **marks}
            parent = client.create_run(
                experiment.id, run_name=f"{run_name(params, given_name())} (live)", tags=tags
            ).info.run_id
            runs.log_params(client, parent, params)
        tags = {**runs.SOURCE_TAGS, runs.PARENT_TAG: parent, runs.STAGE_TAG: stage, runs.LIVE_TAG: "true"}
        run = client.create_run(experiment.id, run_name=f"{stage} (live)", tags=tags)
    return parent, str(run.info.run_id)


if __name__ == "__main__":
    console.run(main, "bmix.tracking.live_writer", __doc__)
