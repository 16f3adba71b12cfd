"""The model that is served, in MLflow's registry: its alias, that of the one before, and why it is served."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmix.support.files import read_json
from bmix.tracking.destination import Destination, destination, tracking_on
from bmix.tracking.models import model_digest, register, registered_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

REGISTERED = "bmix"
"""The registered model unless BMIX_REGISTER_MODEL names another."""


def set_aliases(models: Mapping[str, Path], tags: Mapping[str, str]) -> None:
    """Point each alias at the version of the registered model that holds the model in a folder.

    models: alias and folder; a model that is no version yet becomes one, if the record holds it. tags: for the version
    of the first. Nothing happens where tracking is off; what fails is a warning, since what is served does not depend
    on it.
    """
    _warned(lambda client, target: _set_aliases(client, target, models, tags))


def tag_run(folder: Path, tags: Mapping[str, str]) -> None:
    """Tag the parent run that the stage publish made of the run in a folder; else as `set_aliases`."""
    from bmix.tracking.stamp import STAMP

    stamp = folder / STAMP
    if stamp.is_file():
        _warned(lambda client, target: _tag_run(client, stamp, tags))


def _tag_run(client: MlflowClient, stamp: Path, tags: Mapping[str, str]) -> None:
    run_id = read_json(stamp)["sent"]["parent"]
    for key, value in tags.items():
        client.set_tag(run_id, key, value)


def _set_aliases(
    client: MlflowClient, target: Destination, models: Mapping[str, Path], tags: Mapping[str, str]
) -> None:
    name = registered_name() or REGISTERED
    experiment = client.get_experiment_by_name(target.experiment)
    for number, (alias, folder) in enumerate(models.items()):
        version = _version(client, name, str(experiment.experiment_id), folder) if experiment else None
        if version is None:
            print(f"warning: the record holds no model of {folder}, so that no alias {alias} is set", file=sys.stderr)
            continue
        client.set_registered_model_alias(name, alias, version.version)
        for key, value in tags.items() if number == 0 else ():
            client.set_model_version_tag(name, version.version, key, value)


def _version(client: MlflowClient, name: str, experiment: str, folder: Path) -> Any:
    """The version of the registered model with these files; None if the record holds no such model."""
    digest = model_digest(folder)
    found = client.search_logged_models([experiment], f"tags.`bmix.model_digest` = '{digest}'")
    ready = [each for each in found if str(each.status) == "READY"]
    return register(client, name, ready[0].model_id, str(ready[0].source_run_id), digest) if ready else None


def _warned(work: Callable[[MlflowClient, Destination], None]) -> None:
    if not tracking_on():
        return
    target = destination()
    # MLflow passes on the errors of many libraries; none of them may undo a promotion.
    try:
        from bmix.tracking.reach import check_reachable, only_one
        from bmix.tracking.runs import connect

        check_reachable(target)
        client = connect(target)
        with only_one(target):
            work(client, target)
    except Exception as error:
        from bmix.tracking.faults import reason, remedy

        print(
            f"warning: MLflow at {target.shown} does not know of the champion: {reason(error, target)}\n"
            f"  fix: {remedy(error, target)}; then promote it again: bmix models promote NUMBER",
            file=sys.stderr,
        )
