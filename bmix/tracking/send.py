"""Sending a record to MLflow: what is there and current stays, everything else is replaced, nothing is logged twice."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmix.tracking.destination import Destination, only_one
from bmix.tracking.record import DatasetUse, Point, Record, StageRecord
from bmix.workspace.locked import digest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARAMS_TAG, LOCK_TAG = "bmix.params_digest", "bmix.lock_digest"
# In a store of files a tag is a file of its name, and DVC takes every file whose name ends in .dvc for its own.
STAGE_TAG, STAGE_DIGEST_TAG, DVC_TAG, LIVE_TAG = "bmix.stage", "bmix.stage_digest", "bmix.dvc_state", "bmix.live"
PARENT_TAG = "mlflow.parentRunId"
SOURCE_TAGS = {"mlflow.source.name": "bmix", "mlflow.source.type": "LOCAL"}
_METRICS_PER_BATCH, _VALUES_PER_BATCH = 1000, 100


def connect(target: Destination) -> MlflowClient:
    """A client of the tracking store; a sqlite database that does not exist is made whole or not at all.

    A server gets 10 seconds per request and one retry, unless MLflow's own variables say otherwise.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow import MlflowClient

    # What fails is told once, by the caller, without the traceback that MLflow logs beside the exception it raises.
    for name in ("mlflow", "mlflow.store.db.utils", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if target.database and target.artifacts and not target.database.exists():
        with only_one(target):
            _create_database(target.database, target.artifacts)
    return MlflowClient(tracking_uri=target.uri)


def ensure_experiment(client: MlflowClient, target: Destination) -> str:
    """The id of the destination's experiment, created or restored where need be."""
    from mlflow import MlflowException

    found = client.get_experiment_by_name(target.experiment)
    if found is None:
        try:
            place = (target.artifacts / "runs").as_uri() if target.artifacts else None
            # Without this tag the page asks whether the experiment is about models or about language agents.
            tags = {"mlflow.experimentKind": "custom_model_development"}
            return str(client.create_experiment(target.experiment, artifact_location=place, tags=tags))
        except MlflowException:
            found = client.get_experiment_by_name(target.experiment)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def find_parents(client: MlflowClient, experiment: str, params: dict[str, Any]) -> list[Run]:
    """The parent runs of a set of params, the newest first."""
    return _search(client, experiment, f"tags.`{PARAMS_TAG}` = '{digest(params)}'")


def find_children(client: MlflowClient, experiment: str, parents: Iterable[Run]) -> list[Run]:
    """The runs of stages below parents."""
    return [
        child
        for parent in parents
        for child in _search(client, experiment, f"tags.`{PARENT_TAG}` = '{parent.info.run_id}'")
        if STAGE_TAG in child.data.tags
    ]


def create_parent(
    client: MlflowClient, experiment: str, name: str, params: dict[str, Any], started: float | None = None
) -> str:
    """A parent run that holds its params and nothing else yet; its id."""
    tags = {**SOURCE_TAGS, PARAMS_TAG: digest(params)}
    run = client.create_run(experiment, start_time=_milliseconds(started), run_name=name, tags=tags)
    log_params(client, run.info.run_id, params)
    return str(run.info.run_id)


def log_params(client: MlflowClient, run_id: str, params: dict[str, Any]) -> None:
    """Log flattened params, worded as in params.yaml; logging equal ones again changes nothing."""
    from mlflow.entities import Param

    entries = [Param(key, value if isinstance(value, str) else json.dumps(value)) for key, value in params.items()]
    for batch in _batches(entries, _VALUES_PER_BATCH):
        client.log_batch(run_id, params=batch, synchronous=True)


def log_points(client: MlflowClient, run_id: str, points: Sequence[Point], at: float | None = None) -> None:
    """Log metrics in few requests."""
    from mlflow.entities import Metric

    moment = _milliseconds(at)
    for batch in _batches([Metric(point.key, point.value, moment, point.step) for point in points], _METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=batch, synchronous=True)


def send(record: Record, target: Destination) -> str:
    """Bring the record at `target` up to date; the id of the parent run.

    The parent is found by its params. It and its children stay where they are finished and hold the digest of what DVC
    locked; a parent or child that does not is written anew and the old one deleted, as are the runs of live tracking.
    Whatever fails raises, and the next call mends what was left.
    """
    client = connect(target)
    with only_one(target):
        experiment = ensure_experiment(client, target)
        parents = find_parents(client, experiment, record.params)
        children = find_children(client, experiment, parents)
        kept = next((run for run in parents if _is_current(run, LOCK_TAG, record.lock_digest)), None)
        parent_id = kept.info.run_id if kept else _open_parent(client, experiment, record, parents)
        current = _write_children(client, experiment, parent_id, record.stages, children)
        if kept is None:
            _fill_parent(client, parent_id, record)
        for run in [*children, *parents]:
            if run.info.run_id not in {*current, parent_id}:
                client.delete_run(run.info.run_id)
        return parent_id


def _create_database(database: Path, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    # Creating the tables takes seconds. A process killed in the middle leaves a file that no one opens.
    unfinished = artifacts / "mlflow.db.unfinished"
    unfinished.unlink(missing_ok=True)
    if not database.exists():
        store = SqlAlchemyStore(f"sqlite:///{unfinished}", artifacts.as_uri())
        store.engine.dispose()
        unfinished.replace(database)


def _is_current(run: Run, tag: str, value: str) -> bool:
    return run.info.status == "FINISHED" and run.data.tags.get(tag) == value and LIVE_TAG not in run.data.tags


def _open_parent(client: MlflowClient, experiment: str, record: Record, parents: list[Run]) -> str:
    # Metrics cannot be taken back, so a parent that has some is replaced; live tracking leaves one without.
    for run in parents:
        if not run.data.metrics:
            log_params(client, run.info.run_id, record.params)
            return str(run.info.run_id)
    begins = [stage.started for stage in record.stages if stage.started is not None]
    parent_id = create_parent(client, experiment, record.name, record.params, min(begins, default=None))
    for key, value in (parents[0].data.tags if parents else {}).items():
        if not key.startswith(("bmix.", "mlflow.")) or key == "mlflow.note.content":
            client.set_tag(parent_id, key, value)
    return parent_id


def _fill_parent(client: MlflowClient, parent_id: str, record: Record) -> None:
    ends = [stage.ended for stage in record.stages if stage.ended is not None]
    _log_content(client, parent_id, record.files, record.datasets)
    for path, table in record.tables.items():
        client.log_text(parent_id, table.to_json(orient="split", index=False), f"{path}.json")
    shown = [{"path": f"{path}.json", "type": "table"} for path in record.tables]
    for key, value in {**record.tags, "mlflow.loggedArtifacts": json.dumps(shown)}.items():
        client.set_tag(parent_id, key, value)
    log_points(client, parent_id, record.metrics, max(ends, default=None))
    client.set_tag(parent_id, LOCK_TAG, record.lock_digest)
    client.set_terminated(parent_id, "FINISHED", _milliseconds(max(ends, default=None)))


def _write_children(
    client: MlflowClient, experiment: str, parent_id: str, stages: list[StageRecord], children: list[Run]
) -> set[str]:
    current = set()
    for stage in stages:
        same = [run for run in children if run.data.tags[STAGE_TAG] == stage.name]
        kept = next((run for run in same if _is_current(run, STAGE_DIGEST_TAG, stage.digest)), None)
        if kept is None:
            current.add(_write_child(client, experiment, parent_id, stage))
            continue
        if kept.data.tags[PARENT_TAG] != parent_id:
            client.set_tag(kept.info.run_id, PARENT_TAG, parent_id)
        current.add(kept.info.run_id)
    return current


def _write_child(client: MlflowClient, experiment: str, parent_id: str, stage: StageRecord) -> str:
    tags = {
        **SOURCE_TAGS,
        PARENT_TAG: parent_id,
        STAGE_TAG: stage.name,
        STAGE_DIGEST_TAG: stage.digest,
        DVC_TAG: "ran" if stage.ran else "cached",
    }
    run = client.create_run(experiment, start_time=_milliseconds(stage.started), run_name=stage.name, tags=tags)
    run_id = str(run.info.run_id)
    _log_content(client, run_id, stage.content.files, stage.content.datasets)
    log_points(client, run_id, stage.content.metrics, stage.ended)
    client.set_terminated(run_id, "FINISHED", _milliseconds(stage.ended))
    return run_id


def _log_content(client: MlflowClient, run_id: str, files: list[tuple[Path, str]], datasets: list[DatasetUse]) -> None:
    for path, folder in files:
        client.log_artifact(run_id, str(path), folder or None)
    if datasets:
        client.log_inputs(run_id, datasets=[_dataset_input(use) for use in datasets])


def _dataset_input(use: DatasetUse) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=use.name,
        digest=use.digest,
        source_type="local",
        source=json.dumps({"uri": use.source}),
        profile=json.dumps(use.profile),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", use.context)])


def _search(client: MlflowClient, experiment: str, condition: str) -> list[Run]:
    return list(client.search_runs([experiment], condition, max_results=1000, order_by=["attributes.start_time DESC"]))


def _batches(values: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))


def _milliseconds(seconds: float | None) -> int:
    return round(1000 * (time.time() if seconds is None else seconds))
