"""MLflow's client as bmix uses it: the experiment, the runs in it, and what is logged to them."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmix.tracking.destination import Destination
from bmix.tracking.moved import RUNS, is_elsewhere, mend_locations
from bmix.tracking.reach import UnusableError, only_one
from bmix.tracking.record import DatasetUse, Point
from bmix.tracking.view import view_tag

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARAMS_TAG, DATA_TAG = "bmix.params_digest", "bmix.data_digest"
STAGE_TAG, LIVE_TAG, PARENT_TAG = "bmix.stage", "bmix.live", "mlflow.parentRunId"
SOURCE_TAGS = {"mlflow.source.name": "bmix", "mlflow.source.type": "LOCAL"}
_METRICS_PER_BATCH, _VALUES_PER_BATCH = 1000, 100


@dataclass(frozen=True)
class Experiment:
    """An experiment of MLflow: its id, and how the place of its runs' artifacts starts, empty where it is no folder."""

    id: str
    place: str


def connect(target: Destination) -> MlflowClient:
    """A client of the tracking store; a sqlite database is made whole or not at all, and mended where it was moved.

    A server gets 10 seconds per request and one retry, unless MLflow's own variables say otherwise.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow import MlflowClient

    # What fails is told once, by the caller, without the traceback that MLflow logs beside the exception it raises.
    for name in ("mlflow", "mlflow.store.db.utils", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if target.database and target.artifacts:
        with only_one(target):
            _create_database(target.database, target.artifacts)
            mend_locations(target)
    return MlflowClient(tracking_uri=target.uri, registry_uri=target.uri)


def ensure_experiment(client: MlflowClient, target: Destination) -> Experiment:
    """The destination's experiment, created or restored where need be.

    UnusableError where it keeps its artifacts in the folder of another project, or of this one before it was moved.
    """
    own = f"{target.artifacts.as_uri()}/{RUNS}" if target.artifacts else None
    found = _find_or_create(client, target.experiment, own)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    place = str(found.artifact_location)
    if target.artifacts and is_elsewhere(place, target.artifacts):
        raise UnusableError(
            f"the experiment {target.experiment} keeps its artifacts in {place}, the folder of another project",
            f"name an experiment of this project's own: MLFLOW_EXPERIMENT_NAME={target.artifacts.parent.name}",
        )
    return Experiment(str(found.experiment_id), f"{place.rstrip('/')}/" if place.startswith("file:") else "")


def _find_or_create(client: MlflowClient, name: str, place: str | None) -> Any:
    from mlflow import MlflowException

    if found := client.get_experiment_by_name(name):
        return found
    try:
        # Without this tag the page asks whether the experiment is about models or about language agents.
        tags = {"mlflow.experimentKind": "custom_model_development", **view_tag()}
        return client.get_experiment(client.create_experiment(name, artifact_location=place, tags=tags))
    except MlflowException:
        # Another process may have been faster.
        if found := client.get_experiment_by_name(name):
            return found
        raise


def find_runs(client: MlflowClient, experiment: Experiment, tags: Mapping[str, str]) -> list[Run]:
    """The runs with all of the tags, the newest first; without those whose artifacts lie in another project."""
    condition = " AND ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    newest_first = ["attributes.start_time DESC"]
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment.id], condition, max_results=1000, order_by=newest_first, page_token=token)
        runs += page
        token = page.token
        if not token:
            return [run for run in runs if f"{run.info.artifact_uri}/".startswith(experiment.place)]


def find_children(client: MlflowClient, experiment: Experiment, parents: Iterable[Run | str]) -> list[Run]:
    """The runs of stages below parents, given as runs or ids."""
    ids = [parent if isinstance(parent, str) else parent.info.run_id for parent in parents]
    found = [run for parent in ids for run in find_runs(client, experiment, {PARENT_TAG: parent})]
    return [run for run in found if STAGE_TAG in run.data.tags]


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    """Log flattened params, worded as in params.yaml; logging equal ones again changes nothing."""
    from mlflow.entities import Param

    entries = [Param(key, value if isinstance(value, str) else json.dumps(value)) for key, value in params.items()]
    for batch in _batches(entries, _VALUES_PER_BATCH):
        client.log_batch(run_id, params=batch, synchronous=True)


def log_points(client: MlflowClient, run_id: str, points: Sequence[Point], at: float | None = None) -> None:
    """Log metrics in few requests."""
    from mlflow.entities import Metric

    moment = milliseconds(at)
    for batch in _batches([Metric(point.key, point.value, moment, point.step) for point in points], _METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=batch, synchronous=True)


def log_content(
    client: MlflowClient, run_id: str, files: Iterable[tuple[Path, str]], datasets: Sequence[DatasetUse]
) -> None:
    """Log files, each into its folder, and the data sets that a run used."""
    for path, folder in files:
        client.log_artifact(run_id, str(path), folder or None)
    if datasets:
        client.log_inputs(run_id, datasets=[_dataset_input(use) for use in datasets])


def milliseconds(seconds: float | None) -> int:
    """A moment as MLflow counts it; now where it is None."""
    return round(1000 * (time.time() if seconds is None else seconds))


def _create_database(database: Path, artifacts: Path) -> None:
    if database.exists() and database.stat().st_size:
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    # Creating the tables takes seconds. A process killed in the middle leaves a file that no one opens.
    unfinished = artifacts / "mlflow.db.unfinished"
    unfinished.unlink(missing_ok=True)
    store = SqlAlchemyStore(f"sqlite:///{os.path.relpath(unfinished)}", artifacts.as_uri())
    store.engine.dispose()
    unfinished.replace(database)


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


def _batches(values: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))
