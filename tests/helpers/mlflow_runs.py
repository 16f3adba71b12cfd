"""What stands in MLflow at the destination that the environment names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bmix.tracking.destination import destination

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def client() -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(destination().uri)


def all_runs() -> list[Run]:
    found = client().get_experiment_by_name(destination().experiment)
    return [] if found is None else list(client().search_runs([found.experiment_id]))


def parents() -> list[Run]:
    return [run for run in all_runs() if "mlflow.parentRunId" not in run.data.tags]


def children(parent: Run | None = None) -> dict[str, Run]:
    """The current children by stage, of one parent or of the only one."""
    found = [run for run in all_runs() if "mlflow.parentRunId" in run.data.tags]
    if parent is not None:
        found = [run for run in found if run.data.tags["mlflow.parentRunId"] == parent.info.run_id]
    current = [run for run in found if "bmix.superseded" not in run.data.tags]
    assert len({run.data.tags["bmix.stage"] for run in current}) == len(current)
    return {run.data.tags["bmix.stage"]: run for run in current}


def superseded() -> list[Run]:
    return [run for run in all_runs() if "bmix.superseded" in run.data.tags]


def histories(run: Run) -> dict[str, list[tuple[int, float]]]:
    mlflow = client()
    return {
        key: [(metric.step, metric.value) for metric in mlflow.get_metric_history(run.info.run_id, key)]
        for key in run.data.metrics
    }


def artifacts(run: Run, folder: str | None = None) -> set[str]:
    found = client().list_artifacts(run.info.run_id, folder)
    return {path for entry in found for path in (artifacts(run, entry.path) if entry.is_dir else {entry.path})}


def content() -> dict[str, Any]:
    runs = {"parent": parents()[0], **children()}
    return {
        name: (
            run.info.run_name,
            run.info.status,
            run.data.params,
            histories(run),
            artifacts(run),
            run.data.tags["bmix.dvc_state"] if name != "parent" else "",
        )
        for name, run in runs.items()
    }
