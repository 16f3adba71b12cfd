"""One measured run by the library alone, as every table of rivals is made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.recipes import differences, run, table
from tests.helpers.projects import EDITS, make_project


@pytest.mark.slow
def test_runs_make_a_table_and_share_the_prepared_data(tmp_path: Path) -> None:
    root, home = make_project(tmp_path / "project"), tmp_path / "results"
    for recipe in ("bce", "balancemix"):
        edits = [*EDITS, f"training.recipe={recipe}"]
        run(root, home / "mislabel-0.4" / f"{recipe}-0", home / "prepared", edits)
    metrics = json.loads((home / "mislabel-0.4/bce-0/metrics.json").read_text())
    shown = table(home)
    assert shown["recipe"].tolist() == ["balancemix", "bce"]
    assert shown["test all"].tolist()[1] == str(round(100 * metrics["mAP"]["all"], 1))
    assert shown["runs"].tolist() == [1, 1]
    against = differences(home, "bce")
    assert against["recipe"].tolist() == ["balancemix", "bce"]
    assert {path.name for path in (home / "prepared").iterdir()} >= {"manifest.parquet", "facts.json"}
