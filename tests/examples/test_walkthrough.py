"""examples/walkthrough.py does what its cells say, on its own pictures and on a table of someone else."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest

from bmix.torchvision_import import models
from tests.examples.test_loops import EXAMPLES, run_example
from tests.helpers.tiny import write_table


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mpl.use("agg")
    for name in ("TABLE", "IMAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.slow
def test_a_corrected_table_and_a_better_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_example("walkthrough", monkeypatch)
    told = capsys.readouterr().out
    (first,) = re.findall(r"of the first 24 labels (\d+) are wrong", told)
    assert int(first) >= 20
    ((before, after),) = re.findall(r"wrong labels: (\d+) in the given table, (\d+) in the corrected one", told)
    assert int(after) <= int(before) / 2
    assert found["results"]["corrected"] > found["results"]["given"]
    given, corrected = (pd.read_csv(found["output"] / f"{name}.csv", dtype=str) for name in ("labels", "corrected"))
    assert given.columns.tolist() == corrected.columns.tolist()
    assert given["path"].equals(corrected["path"])
    assert (given["labels"].fillna("") != corrected["labels"].fillna("")).sum() == found["changed"].sum() > 0
    assert (found["output"] / "suspects.png").stat().st_size > 1000


@pytest.mark.slow
def test_a_table_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = write_table(tmp_path / "my", images=24)
    untrained = models.resnet18

    def resnet18(weights: Any) -> Any:
        assert weights == models.ResNet18_Weights.DEFAULT  # a download, which a test does without
        return untrained()

    monkeypatch.setattr(models, "resnet18", resnet18)
    monkeypatch.setenv("TABLE", str(table))
    monkeypatch.setenv("IMAGES", str(table.parent / "images"))
    found = run_example("walkthrough", monkeypatch)
    corrected = pd.read_csv(table.with_name("corrected.csv"), dtype=str)
    assert corrected.columns.tolist() == pd.read_csv(table).columns.tolist()
    assert found["names"] == ["bird", "cat", "dog", "fish"]
    assert set(found["results"]) == {"given", "corrected"}


def test_it_opens_as_cells() -> None:
    text = (EXAMPLES / "walkthrough.py").read_text(encoding="utf-8")
    assert text.count("\n# %%") > 10
    for markdown in re.findall(r"^# %% \[markdown\]\n(.*?)\n(?=# %%|\Z)", text, re.MULTILINE | re.DOTALL):
        assert all(not line or line.startswith("#") for line in markdown.splitlines())
