"""The trained model in MLflow: logged once for each set of weights and thresholds, registered on request."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bmix.workspace.locked import file_digest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from bmix.tracking.runs import Experiment

NAME, DIGEST_TAG = "model", "bmix.model_digest"
REGISTER = "BMIX_REGISTER_MODEL"
"""Names the registered model that every published model becomes a version of."""
_FILES = ("model.safetensors", "model.json", "calibration.json")


def registered_name() -> str:
    """The name that models are registered under; empty if none is asked for."""
    return os.environ.get(REGISTER, "").strip()


def log_model(client: MlflowClient, experiment: Experiment, run_id: str, model: Path) -> None:
    """Log the model in a folder as an output of a run, unless it is there; what an interrupted call left is removed.

    Where REGISTER names one, it becomes a version of that registered model, once.
    """
    digest = model_digest(model)
    found = client.search_logged_models([experiment.id], f"source_run_id = '{run_id}'")
    ready = [each for each in found if str(each.status) == "READY" and each.tags.get(DIGEST_TAG) == digest]
    for each in found:
        if str(each.status) != "READY":
            client.delete_logged_model(each.model_id)
    model_id = ready[0].model_id if ready else _log(client, experiment, run_id, model, digest)
    _name_as_output(client, run_id, model_id)
    if registered_name():
        register(client, registered_name(), model_id, run_id, digest)


def model_digest(model: Path) -> str:
    """16 hex digits of the weights, the description and the calibration in a folder: the value of DIGEST_TAG."""
    return file_digest(*(model / name for name in _FILES if (model / name).exists()))


def register(client: MlflowClient, name: str, model_id: str, run_id: str, digest: str) -> ModelVersion:
    """The version of the registered model that holds the logged model of a run, made if there is none."""
    from mlflow import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    for each in client.search_model_versions(f"run_id = '{run_id}'"):
        if each.name == name and each.tags.get(DIGEST_TAG) == digest:
            return each
    tags = {DIGEST_TAG: digest}
    return client.create_model_version(name, f"models:/{model_id}", run_id, tags=tags, model_id=model_id)


def _log(client: MlflowClient, experiment: Experiment, run_id: str, model: Path, digest: str) -> str:
    from bmix.tracking.packaged import package

    logged = client.create_logged_model(experiment.id, NAME, run_id, tags={DIGEST_TAG: digest}, model_type="pyfunc")
    with tempfile.TemporaryDirectory(prefix="bmix-model-") as folder:
        package(model, Path(folder) / NAME, logged.model_id)
        client.log_model_artifacts(logged.model_id, str(Path(folder) / NAME))
    client.finalize_logged_model(logged.model_id, "READY")
    return str(logged.model_id)


def _name_as_output(client: MlflowClient, run_id: str, model_id: str) -> None:
    """Have the run name the model as its output, which an interrupted call may have left undone."""
    from mlflow.entities import LoggedModelOutput

    outputs = client.get_run(run_id).outputs
    named = [each.model_id for each in outputs.model_outputs] if outputs else []
    if model_id not in named:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])
