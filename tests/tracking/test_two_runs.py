"""The lines of docs/tracking.md that find the labels which one of two runs changed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bmix.tracking.destination import destination
from stages import publish
from tests.helpers.mlflow_runs import parents
from tests.helpers.tiny import REPOSITORY
from tests.helpers.tracked import write_project

PAGE = (REPOSITORY / "docs/tracking.md").read_text(encoding="utf-8")
LINES = PAGE.partition("## Two runs compared")[2].partition("```python\n")[2].partition("```")[0]


def write_verdicts(rows: list[tuple[str, str, int, str, int]]) -> None:
    names = ["id", "class", "given", "verdict", "label"]
    frame = pd.DataFrame(rows, columns=names).assign(p_clean=0.5, log_odds=0.0, weight=1.0)
    frame.to_parquet("verdicts.parquet", index=False)


@pytest.mark.pipeline
def test_labels_that_two_runs_see_differently(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alike = [("000", "ant", 1, "clean", 1), ("001", "bee", 1, "relabelled", 0)]
    write_verdicts([*alike, ("002", "ant", 1, "clean", 1), ("003", "bee", 0, "relabelled", 1)])
    publish.main()
    (first,) = parents()
    shutil.rmtree(".bmix")
    write_project(recorded, "training.seed=1", version=1)
    write_verdicts([*alike, ("002", "ant", 1, "relabelled", 0), ("004", "ant", 0, "ambiguous", 0)])
    publish.main()
    (second,) = [run for run in parents() if run.info.run_id != first.info.run_id]
    found: dict[str, Any] = {"FIRST": first.info.run_id, "SECOND": second.info.run_id}
    # What the lines set would last for every test after this one.
    import mlflow

    monkeypatch.setattr(mlflow, "set_tracking_uri", lambda _: monkeypatch.setenv("MLFLOW_TRACKING_URI", uri))
    uri = destination().uri
    exec(compile(LINES, "docs/tracking.md", "exec"), found)
    assert found["changed"].index.tolist() == [("002", "ant"), ("003", "bee")]
    assert found["judged_otherwise"].index.tolist() == [("002", "ant"), ("003", "bee"), ("004", "ant")]
    row = found["changed"].loc[("003", "bee")]
    assert (row["label_first"], row["label_second"], row["verdict_second"]) == (1, 0, "clean")
