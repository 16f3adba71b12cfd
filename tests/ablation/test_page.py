"""A table's numbers, page and pictures, from made-up measures."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bmix.ablation.cells import Cell, cells_of
from bmix.ablation.figure import draw_ranks, draw_table
from bmix.ablation.finished import is_finished, mark_finished, state_of
from bmix.ablation.grid import paper_table
from bmix.ablation.page import difference_told, page, write_csvs
from bmix.ablation.ranking import rank_methods
from bmix.ablation.results import Results
from bmix.ablation.statistics import Difference
from bmix.support.spreadsheet import read_named_csv
from tests.helpers.tiny import REPOSITORY


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def made_up(name: str, seeds: list[int], without: str = "") -> Results:
    """Every measure drawn at random, but for the cell with this title."""
    rng = np.random.default_rng(0)
    grid = paper_table(name)
    cells = cells_of(grid, seeds)
    measures = {
        cell.title: {f"mAP {group}": float(rng.random()) for group in ("all", "many", "medium", "few")}
        for cell in cells
        if cell.title != without
    }
    return Results(grid, cells, measures, {without: "the disk is full\n  expected: room"})


def test_means_are_those_of_a_slow_count_and_a_hole_is_left_out(tmp_path: Path) -> None:
    results = made_up("5", [0, 1, 2], without="bce · flip 0.4 · seed 1")

    def values(row: str, setting: str) -> dict[int | None, float]:
        return {
            cell.seed: 100 * (results.measures[cell.title]["mAP all"] or 0)
            for cell in results.cells
            if (cell.row, cell.setting) == (row, setting) and cell.title in results.measures
        }

    write_csvs(results, tmp_path)
    table = read_named_csv(tmp_path / "table-5.csv", ("row", "setting")).set_index(["row", "setting"])
    for (row, setting), line in table[table.index.get_level_values("setting") != "mean"].iterrows():  # type: ignore[misc]
        own = list(values(row, setting).values())
        assert line["mean"] == pytest.approx(statistics.fmean(own), abs=1e-4)
        assert line["standard_error"] == pytest.approx(statistics.stdev(own) / len(own) ** 0.5, abs=1e-4)
    by_setting = [values("bce", setting) for setting in results.grid.settings]
    mean = statistics.fmean(statistics.fmean(part[seed] for part in by_setting) for seed in (0, 2))
    assert table.loc[("bce", "mean"), "mean"] == pytest.approx(mean, abs=1e-4)
    assert table.loc[("bce", "mean"), "runs"] == 2
    expected = statistics.fmean(
        values("+ re-labelled", "clean")[seed] - values("bce", "clean")[seed] for seed in range(3)
    )
    assert table.loc[("+ re-labelled", "clean"), "difference"] == pytest.approx(expected, abs=1e-4)
    assert table.loc[("+ ambiguous (balancemix)", "mean"), "paper"] == 79.7
    cells = pd.read_csv(tmp_path / "table-5-cells.csv")
    assert cells["hole"].dropna().tolist() == ["the disk is full expected: room"]


def test_the_page_tells_the_papers_figures_the_holes_and_the_set_up(tmp_path: Path) -> None:
    told = page(made_up("5", [0, 1], without="bce · clean · seed 1"), "python -m flows.ablation --table 5")
    assert "# Table 5, the components of BalanceMix\n" in told
    assert "(83.4)" in told
    assert "over the seeds 0, 1 of training and noise" in told
    assert "| bce | clean | 1 | the disk is full expected: room |" in told
    assert "| epochs | 30 | 50 |" in told
    assert told.count("MS-COCO 2014") == 2
    assert "one seed of training and noise (3): no difference" in page(made_up("5", [3]), "")


def test_differences_are_told_with_their_interval_and_an_arrow_beyond_noise() -> None:
    assert difference_told(Difference(1.25, 0.2, 2.3, 3)) == "+1.2 [+0.2, +2.3] ▲"
    assert difference_told(Difference(-1.25, -2.3, -0.2, 3)) == "−1.2 [−2.3, −0.2] ▼"
    assert difference_told(Difference(-0.01, -2.3, 0.2, 3)) == "0.0 [−2.3, +0.2]"
    assert difference_told(Difference(1.25, None, None, 1)) == "+1.2"
    assert difference_told(None) == "–"


def test_ranks_are_given_where_a_table_has_all_methods_and_the_pictures_repeat(tmp_path: Path) -> None:
    results = made_up("figure-4", [0])
    ranking = rank_methods(results)
    assert ranking is not None
    assert ranking.views == ["clean", "mislabel", "flip", "missing", "imbalance"]
    few = {row.name: results.values(row.name, "clean", "few")[0] for row in results.grid.rows}
    assert ranking.ranks["imbalance"] == {
        name: 1 + sum(other > value for other in few.values()) for name, value in few.items()
    }
    flips = {
        row.name: sum(results.values(row.name, f"flip {rate}", "all")[0] for rate in (0.2, 0.4))
        for row in results.grid.rows
    }
    assert min(ranking.ranks["flip"], key=lambda name: ranking.ranks["flip"][name]) == max(
        flips, key=lambda name: flips[name]
    )
    assert rank_methods(made_up("5", [0])) is None
    assert rank_methods(made_up("3", [0])) is None
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        draw_table(results, folder / "table.png")
        draw_ranks(ranking, folder / "ranks.png")
    for name in ("table.png", "table.svg", "ranks.png", "ranks.svg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_cell_is_finished_while_its_results_and_what_they_were_made_from_are_the_same(tmp_path: Path) -> None:
    cell = cells_of(paper_table("5"), [0])[0]
    state = state_of(cell.params)
    copy = results_in(tmp_path, cell)
    assert not is_finished(copy.folder, state)
    mark_finished(copy.folder, state, 12.5)
    assert is_finished(copy.folder, state)
    for key in state:
        assert not is_finished(copy.folder, {**state, key: "another"})
    (copy.folder / "metrics.json").write_text("{ }")
    assert not is_finished(copy.folder, state)
    mark_finished(copy.folder, state, None)
    assert is_finished(copy.folder, state)
    (copy.folder / ".bmix/cell.json").write_text("[")
    assert not is_finished(copy.folder, state)


def results_in(folder: Path, cell: Cell) -> Cell:
    for name in ("metrics.json", "history.csv", "sampler.csv"):
        (folder / name).write_text("{}")
    return replace(cell, folder=folder)


def test_a_table_of_error_rates_tells_two_decimals_and_who_published_what(tmp_path: Path) -> None:
    grid = paper_table("affinity-imbalance")
    cells = cells_of(grid, [0, 1])
    rng = np.random.default_rng(0)
    measures = {
        cell.title: {"top-1 error": 0.05 * rng.random(), "macro-F1": 0.95 + 0.05 * rng.random()} for cell in cells
    }
    results = Results(grid, cells, measures)
    told = page(results, "")
    assert "Top-1 error and macro-F1 in percent on the split `test`" in told
    assert "In brackets what a public re-implementation publishes, on all of MNIST." in told
    assert "## Top-1 error" in told
    errors = [100 * measures[f"softmax · 10 % · seed {seed}"]["top-1 error"] for seed in (0, 1)]
    mean, deviation = statistics.fmean(errors), statistics.stdev(errors)
    assert f"{mean:.2f} ± {deviation / 2**0.5:.2f} |" in told
    assert "(98.85)" in told
    write_csvs(results, tmp_path)
    table = read_named_csv(tmp_path / "table-affinity-imbalance.csv", ("row", "setting"))
    published = table.set_index(["row", "setting", "group"])["paper"].dropna()
    assert len(published) == 9
    assert published[("affinity, m = 1", "20 each", "macro-F1")] == 98.36
    draw_table(results, tmp_path / "table.png")
    with Image.open(tmp_path / "table.png") as drawn:
        assert drawn.height > 0.65 * drawn.width


def test_errors_and_f1_are_drawn_on_axes_of_their_own_with_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = cells_of(paper_table("affinity-imbalance"), [0, 1])
    measures = {cell.title: {"top-1 error": 0.02, "macro-F1": 0.98} for cell in cells}
    drawn = Figure()

    @contextmanager
    def kept(*_: object) -> Iterator[Figure]:
        yield drawn

    monkeypatch.setattr("bmix.ablation.figure.picture", kept)
    draw_table(Results(paper_table("affinity-imbalance"), cells, measures), tmp_path / "table.png")
    shown = [axes for axes in drawn.axes if axes.get_visible()]
    columns = ["100 %", "10 %", "2.5 %", "50 each", "20 each", "10 each"]
    assert [axes.get_title() for axes in shown] == columns * 2
    labels = [axes.get_xlabel() for axes in shown if axes.get_xlabel()]
    assert labels == ["top-1 error, %"] * 4 + ["macro-F1, %"] * 4
    for axes in shown:
        published = [line for line in axes.lines if line.get_marker() == "D"]
        is_f1 = axes in shown[len(columns) :]
        assert axes.get_xlim()[0] > 90 if is_f1 else axes.get_xlim()[1] < 10
        assert len(published) == (3 if is_f1 and "each" in axes.get_title() else 0)
    told = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert told == [
        "top-1 error",
        "first row, top-1 error",
        "macro-F1",
        "published, macro-F1, MNIST",
        "first row, macro-F1",
    ]
