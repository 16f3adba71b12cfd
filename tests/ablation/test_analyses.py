"""The paper's analyses, from files as cells leave them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bmix.ablation.analyses import analyse, confidence
from bmix.ablation.cells import cells_of
from bmix.ablation.grid import paper_table
from bmix.ablation.results import Results
from bmix.support.spreadsheet import read_named_csv
from tests.helpers.tiny import REPOSITORY

EPOCHS, WARMUP = 12, 5
SCORES = ["clean_precision", "clean_recall", "relabel_precision", "relabel_recall"]


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def cells_in(folder: Path, name: str, seeds: list[int]) -> Results:
    """Cells whose folders hold a history and a sampler that fades."""
    grid, rng = paper_table(name), np.random.default_rng(0)
    edits = [f"training.epochs={EPOCHS}", f"training.warmup_epochs={WARMUP}"]
    cells = []
    for number, cell in enumerate(cells_of(grid, seeds, edits)):
        own = folder / str(number)
        own.mkdir()
        epoch = np.arange(1, EPOCHS + 1)
        spread = 0.3 * np.exp(-epoch / 4) * rng.uniform(0.8, 1.2)
        sampler = {"minimum": 1 - spread, "p10": 1 - spread / 2, "median": np.ones(EPOCHS), "p90": 1 + spread / 2}
        sampler |= {"maximum": 1 + spread, "effective_size": 1 - spread**2}
        pd.DataFrame({"epoch": epoch, **sampler}).to_csv(own / "sampler.csv", index=False)
        history = {
            f"{score}{of}": np.where(epoch > WARMUP, rng.uniform(0.4, 1, EPOCHS), np.nan)
            for score in SCORES
            for of in ("", "_positives")
        }
        pd.DataFrame({"epoch": epoch, **history}).to_csv(own / "history.csv", index=False, na_rep="nan")
        cells.append(replace(cell, folder=own))
    return Results(grid, cells, {cell.title: {"mAP all": 0.5} for cell in cells})


def test_figure_6_shows_the_mean_over_the_seeds(tmp_path: Path) -> None:
    results = cells_in(tmp_path, "figure-6", [0, 1])
    told = "\n".join(analyse(results, tmp_path))
    table = read_named_csv(tmp_path / "figure-6-data.csv", ("row", "setting")).set_index(["setting", "epoch"])
    clean = [pd.read_csv(cell.folder / "sampler.csv") for cell in results.cells if cell.setting == "clean"]
    for epoch in (1, EPOCHS):
        expected = sum(part["maximum"][epoch - 1] for part in clean) / 2
        assert table.loc[("clean", epoch), "maximum"] == pytest.approx(expected)
    line = table.loc[("clean", 1)]
    assert f"| clean | {line['maximum'] / line['minimum']:.3f} |" in told
    assert (tmp_path / "figure-6.png").exists()
    assert (tmp_path / "figure-6.svg").exists()


def test_table_g_shows_managed_epochs_alone(tmp_path: Path) -> None:
    results = cells_in(tmp_path, "G", [0, 1])
    told = "\n".join(analyse(results, tmp_path))
    table = read_named_csv(tmp_path / "G-data.csv", ("row", "setting"))
    assert table["epoch"].min() == WARMUP + 1
    last = table[(table["setting"] == "mislabel 0.4") & (table["epoch"] == EPOCHS)].iloc[0]
    scores = " | ".join(f"{100 * last[score]:.1f}" for score in SCORES)
    assert f"| mislabel 0.4 | all labels | {scores} |" in told
    assert (tmp_path / "G.png").exists()


def test_figure_5_draws_confidence_and_precision_by_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    confidences = np.linspace(0.9, 0.2, 14)
    classes = pd.DataFrame(
        {
            "class": [f"class {number}" for number in range(14)],
            "positives": np.geomspace(3000, 20, 14).astype(int),
            "confidence": confidences,
            "ap": confidences + rng.normal(0, 0.03, 14),
        }
    )
    monkeypatch.setattr(confidence, "class_table", lambda folder: classes)
    told = "\n".join(analyse(cells_in(tmp_path, "figure-5", [0]), tmp_path))
    assert "| mislabel 0.4 | 10 | 0.9" in told
    table = read_named_csv(tmp_path / "figure-5-data.csv", ("row", "setting"))
    assert table.groupby("setting")["group"].max().tolist() == [10, 10]
    assert (tmp_path / "figure-5.png").exists()
