"""A saved view of the experiment's page: the columns that tell runs apart, and how good they were.

MLflow 3.15 and later keep such a view as a tag of the experiment; earlier ones and other servers ignore the tag.
"""

from __future__ import annotations

import base64
import json
import time
import zlib

NAME = "bmix results"
KEY = "bmix-results"
"""Names the view in addresses: `/#/experiments/ID/runs?viewStateShareKey=KEY`."""
METRICS = ("mAP/all", "mAP/many", "mAP/medium", "mAP/few", "detection/recall", "repair/repaired")
PARAMS = ("training.recipe", "noise.kind", "noise.rate", "training.seed")
_PREFIX = "mlflow.sharedViewState."


def view_tag() -> dict[str, str]:
    """The tag that makes the view: what MLflow's own page writes when a person saves one."""
    columns = [*(f"metrics.`{name}`" for name in METRICS), *(f"params.`{name}`" for name in PARAMS)]
    state = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    now = round(1000 * time.time())
    view = {"name": NAME, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
    return {f"{_PREFIX}{KEY}": json.dumps(view)}
