"""The saved view that the experiment's page offers."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path

import pytest

from bmix.tracking.view import KEY, METRICS, NAME, PARAMS
from stages import publish
from tests.helpers.mlflow_runs import client, parents


@pytest.mark.pipeline
def test_the_experiment_has_a_view_whose_columns_its_runs_have(recorded: Path) -> None:
    publish.main()
    (parent,) = parents()
    tags = client().get_experiment(parent.info.experiment_id).tags
    view = json.loads(tags[f"mlflow.sharedViewState.{KEY}"])
    assert view["name"] == NAME
    kind, _, packed = view["state"].partition(";")
    assert kind == "deflate"
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    columns = [column.split("`")[:2] for column in state["selectedColumns"]]
    assert [name for kind, name in columns if kind == "metrics."] == list(METRICS)
    assert [name for kind, name in columns if kind == "params."] == list(PARAMS)
    # The tiny record has no many-shot class.
    assert set(METRICS) - {"mAP/many"} <= set(parent.data.metrics)
    assert set(PARAMS) <= set(parent.data.params)
