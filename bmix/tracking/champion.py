"""The model that is served, in MLflow's registry: its alias, that of the one before, and why it is served."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bmix.tracking.destination import Destination
from bmix.tracking.models import model_digest, register, registered_name
from bmix.tracking.reach import check_reachable, only_one
from bmix.tracking.runs import connect

REGISTERED = "bmix"
"""The registered model unless BMIX_REGISTER_MODEL names another."""


class Registry:
    """The registered model at a destination, and the runs behind its versions.

    OSError within seconds if the destination cannot be used. What MLflow raises later passes through.
    """

    def __init__(self, target: Destination) -> None:
        check_reachable(target)
        self._target, self._client = target, connect(target)
        self._name = registered_name() or REGISTERED

    def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Tag a run."""
        for key, value in tags.items():
            self._client.set_tag(run_id, key, value)

    def holds(self, model: Path) -> bool:
        """Whether the record holds the model in a folder, so that it can be a version."""
        return self._logged(model) is not None

    def keep(self, model: Path, tags: Mapping[str, str], alias: str = "") -> bool:
        """Make the model in a folder a version with these tags, unless it is one, and point the alias at it.

        False, and nothing happens, if the record does not hold the model.
        """
        with only_one(self._target):
            logged = self._logged(model)
            if logged is None:
                return False
            found = register(self._client, self._name, logged.model_id, str(logged.source_run_id), model_digest(model))
            for key, value in tags.items():
                self._client.set_model_version_tag(self._name, found.version, key, value)
            if alias:
                self._client.set_registered_model_alias(self._name, alias, found.version)
            return True

    def _logged(self, model: Path) -> Any:
        experiment = self._client.get_experiment_by_name(self._target.experiment)
        if experiment is None:
            return None
        tagged = f"tags.`bmix.model_digest` = '{model_digest(model)}'"
        found = self._client.search_logged_models([str(experiment.experiment_id)], tagged)
        return next((each for each in found if str(each.status) == "READY"), None)
