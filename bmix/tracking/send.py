"""Sending a record to MLflow: what is there and current stays, nothing is deleted, nothing is logged twice."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from bmix.tracking.destination import Destination
from bmix.tracking.models import log_model
from bmix.tracking.reach import only_one
from bmix.tracking.record import Point, Record, StageRun
from bmix.tracking.runs import (
    DATA_TAG,
    LIVE_TAG,
    PARAMS_TAG,
    PARENT_TAG,
    SOURCE_TAGS,
    STAGE_TAG,
    Experiment,
    connect,
    ensure_experiment,
    find_children,
    find_runs,
    log_content,
    log_params,
    log_points,
    milliseconds,
)
from bmix.tracking.stamp import SentRuns

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

CODE_TAG, LOCK_TAG, VERSION_TAG, NAME_TAG = "bmix.code_digest", "bmix.lock_digest", "bmix.version_number", "bmix.name"
# In a store of files a tag is a file of its name, and DVC takes every file whose name ends in .dvc for its own.
STAGE_DIGEST_TAG, DVC_TAG, SUPERSEDED_TAG = "bmix.stage_digest", "bmix.dvc_state", "bmix.superseded"


def send(record: Record, target: Destination) -> SentRuns:
    """Bring the record at `target` up to date, and say where it lies.

    The parent run is found by its key: params, data and code. Where what DVC locked differs from what it last held, it
    takes on a new version: each stage that differs gets a new child, the old one is tagged superseded and stays, and
    the parent's metrics go on at the next step. Only the runs of live tracking, which the record holds whole, and what
    an interrupted call left unfinished are deleted. Whatever fails raises, and the next call mends what was left.
    """
    client = connect(target)
    with only_one(target):
        experiment = ensure_experiment(client, target)
        live = find_runs(
            client, experiment, {PARAMS_TAG: record.key.params, DATA_TAG: record.key.data, LIVE_TAG: "true"}
        )
        parents = find_runs(client, experiment, _key_tags(record))
        parent = next((run for run in parents if _holds(run, record)), next(iter(parents), None))
        watched = find_children(client, experiment, live)
        parent = parent or _adopt(client, experiment, record, live) or _create(client, experiment, record)
        children = _write_children(client, experiment, parent.info.run_id, record.stages)
        if not _holds(parent, record) or not client.list_artifacts(parent.info.run_id):
            _fill_parent(client, parent, record)
        if record.model is not None:
            log_model(client, experiment, parent.info.run_id, record.model)
        for run in [*watched, *live]:
            if run.info.run_id != parent.info.run_id:
                client.delete_run(run.info.run_id)
        return SentRuns(experiment.id, parent.info.run_id, children)


def _key_tags(record: Record) -> dict[str, str]:
    return {PARAMS_TAG: record.key.params, DATA_TAG: record.key.data, CODE_TAG: record.key.code}


def _holds(parent: Run, record: Record) -> bool:
    return parent.info.status == "FINISHED" and parent.data.tags.get(LOCK_TAG) == record.lock_digest


def _adopt(client: MlflowClient, experiment: Experiment, record: Record, live: list[Run]) -> Run | None:
    """The parent under which the run was watched, made that of the record; None where there is none."""
    if not live:
        return None
    run_id = live[0].info.run_id
    name = _name_apart(client, experiment, record)
    client.update_run(run_id, name=name)
    for key, value in {**_key_tags(record), NAME_TAG: record.name}.items():
        client.set_tag(run_id, key, value)
    client.delete_tag(run_id, LIVE_TAG)
    return client.get_run(run_id)


def _create(client: MlflowClient, experiment: Experiment, record: Record) -> Run:
    begins = [stage.started for stage in record.stages if stage.started is not None]
    name = _name_apart(client, experiment, record)
    tags = {**SOURCE_TAGS, **_key_tags(record), NAME_TAG: record.name}
    started = milliseconds(min(begins, default=None))
    return client.create_run(experiment.id, start_time=started, run_name=name, tags=tags)


def _name_apart(client: MlflowClient, experiment: Experiment, record: Record) -> str:
    """The record's name, and where another parent has the same, a short digest of what they differ in."""
    others = find_runs(client, experiment, {NAME_TAG: record.name})
    parts = {"params": PARAMS_TAG, "data": DATA_TAG, "code": CODE_TAG}
    own = _key_tags(record)
    differing = [word for word, tag in parts.items() if any(run.data.tags.get(tag) != own[tag] for run in others)]
    return " · ".join([record.name, *(f"{word} {own[parts[word]][:6]}" for word in differing)])


def _fill_parent(client: MlflowClient, parent: Run, record: Record) -> None:
    run_id, tags = parent.info.run_id, parent.data.tags
    ends = [stage.ended for stage in record.stages if stage.ended is not None]
    again = tags.get(LOCK_TAG) == record.lock_digest
    version = int(tags.get(VERSION_TAG, -1)) + (0 if again else 1)
    log_params(client, run_id, record.params)
    log_content(client, run_id, record.files, record.datasets)
    for path, table in record.tables.items():
        client.log_text(run_id, table.to_json(orient="split", index=False), f"{path}.json")
    shown = [{"path": f"{path}.json", "type": "table"} for path in record.tables]
    for key, value in {**record.tags, "mlflow.loggedArtifacts": json.dumps(shown)}.items():
        client.set_tag(run_id, key, value)
    points = [Point(point.key, point.value, version) for point in record.metrics]
    # What this version lacks must not be read as if it had the value of the one before.
    lacking = set(parent.data.metrics) - {point.key for point in points}
    points += [Point(key, math.nan, version) for key in sorted(lacking)]
    log_points(client, run_id, _not_logged_yet(client, parent, points), max(ends, default=None))
    client.set_tag(run_id, VERSION_TAG, str(version))
    client.set_tag(run_id, LOCK_TAG, record.lock_digest)
    client.set_terminated(run_id, "FINISHED", milliseconds(max(ends, default=None)))


def _not_logged_yet(client: MlflowClient, parent: Run, points: list[Point]) -> list[Point]:
    def steps(key: str) -> set[int]:
        return {metric.step for metric in client.get_metric_history(parent.info.run_id, key)}

    return [point for point in points if point.key not in parent.data.metrics or point.step not in steps(point.key)]


def _write_children(client: MlflowClient, experiment: Experiment, parent_id: str, stages: list[StageRun]) -> list[str]:
    children = find_children(client, experiment, [parent_id])
    current = []
    for stage in stages:
        same = [run for run in children if run.data.tags[STAGE_TAG] == stage.name]
        finished = [run for run in same if run.info.status == "FINISHED" and LIVE_TAG not in run.data.tags]
        kept = next((run for run in finished if run.data.tags.get(STAGE_DIGEST_TAG) == stage.digest), None)
        if kept is None:
            run_id = _write_child(client, experiment, parent_id, stage)
        else:
            run_id = str(kept.info.run_id)
            if stage.content.files and not client.list_artifacts(run_id):
                log_content(client, run_id, stage.content.files, [])
            if SUPERSEDED_TAG in kept.data.tags:
                client.delete_tag(run_id, SUPERSEDED_TAG)
        for run in finished:
            if run.info.run_id != run_id and run.data.tags.get(SUPERSEDED_TAG) != run_id:
                client.set_tag(run.info.run_id, SUPERSEDED_TAG, run_id)
        for run in same:
            if run not in finished:
                client.delete_run(run.info.run_id)
        current.append(run_id)
    return current


def _write_child(client: MlflowClient, experiment: Experiment, parent_id: str, stage: StageRun) -> str:
    tags = {
        **SOURCE_TAGS,
        PARENT_TAG: parent_id,
        STAGE_TAG: stage.name,
        STAGE_DIGEST_TAG: stage.digest,
        DVC_TAG: "ran" if stage.ran else "cached",
    }
    started = milliseconds(stage.started)
    run = client.create_run(experiment.id, start_time=started, run_name=stage.name, tags=tags)
    run_id = str(run.info.run_id)
    log_content(client, run_id, stage.content.files, stage.content.datasets)
    log_points(client, run_id, stage.content.metrics, stage.ended)
    client.set_terminated(run_id, "FINISHED", milliseconds(stage.ended))
    return run_id
