"""Grids and cells: what a table runs, and what a grid file is refused for."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bmix.ablation.cells import cells_of
from bmix.ablation.grid import TABLES, paper_table, read_grid, table_names
from bmix.ablation.published import data_shown, published
from bmix.ablation.setup import differences_to_paper
from bmix.ablation.work import Plan, Progress, duration, leaders
from bmix.support.errors import InputError
from tests.helpers.tiny import REPOSITORY

GRID = {"settings": {"clean": ["clean"], "noisy": ["noise.rate=0.2"]}, "rows": {"bce": ["training.recipe=bce"]}}


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def written(folder: Path, **changes: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(GRID | changes, sort_keys=False))
    return path


@pytest.mark.parametrize("name", [path.stem for path in TABLES.glob("*.yaml")])
def test_every_cell_of_the_papers_tables_has_params_that_are_fit(name: str) -> None:
    grid = paper_table(name)
    cells = cells_of(grid)
    assert len(cells) == len(grid.seeds) * sum(len(row.settings) for row in grid.rows)
    assert len({cell.title for cell in cells}) == len({cell.folder for cell in cells}) == len(cells)
    assert all(cell.params.noise.seed == cell.params.training.seed == cell.seed for cell in cells)
    for cell in cells:
        paper = cell.setting in ("clean", "single-positive")
        assert cell.params.method.trust_positives == paper
        if grid.name != "table-7":
            assert cell.params.method.epsilon == (0.55 if cell.setting == "single-positive" else 0.975)


@pytest.mark.parametrize("name", table_names())
def test_every_cell_of_the_papers_tables_stands_beside_the_papers_figure(name: str) -> None:
    grid = paper_table(name)
    for data in grid.data:
        for row in grid.rows:
            for setting in row.settings:
                for group in grid.groups:
                    if data == "voc" and group == "many":
                        continue
                    assert published(grid, data, row.name, setting, group) is not None, (data, row.name, setting, group)


def test_known_figures_of_the_paper() -> None:
    five, seven = paper_table("5"), paper_table("7")
    assert published(five, "coco", "+ ambiguous (balancemix)", "mean", "all") == 79.7
    assert published(five, "coco", "bce", "flip 0.4", "all") == 43.0
    assert published(seven, "coco", "ε = 0.55", "single-positive", "all") == 77.4
    assert published(seven, "coco", "ε = 0.975", "single-positive", "all") is None
    assert published(paper_table("figure-4"), "voc", "asl", "flip 0.2", "few") == 89.2
    assert data_shown(paper_table("3"), "voc") == "voc"
    assert data_shown(paper_table("3"), "digits") == "coco"


def test_rows_win_over_settings_and_these_over_edits_of_all(tmp_path: Path) -> None:
    grid = read_grid(written(tmp_path, rows={"mine": ["method.epsilon=0.6"]}, set=["training.epochs=25"]))
    clean, noisy = cells_of(grid, [4], ["noise.rate=0.3", "training.batch_size=32", "method.epsilon=0.7"])
    assert (clean.params.training.epochs, clean.params.training.batch_size) == (25, 32)
    assert clean.params.method.epsilon == 0.6
    assert (clean.params.noise.kind, noisy.params.noise.rate) == ("none", 0.2)
    assert (noisy.seed, noisy.params.noise.seed, noisy.params.training.seed) == (4, 4, 4)
    assert noisy.title == "mine · noisy · seed 4"


def test_a_share_of_warmup_is_one_of_the_cells_own_epochs(tmp_path: Path) -> None:
    grid = read_grid(written(tmp_path, warmup=0.4))
    assert {cell.params.training.warmup_epochs for cell in cells_of(grid, [0], ["training.epochs=20"])} == {8}


def test_cells_that_differ_after_warmup_alone_have_one_leader() -> None:
    cells = cells_of(paper_table("7"), [0])
    assert len(leaders(cells, "warmup")) == 3
    assert len(leaders(cells, "prepare")) == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rows": None}, "rows is missing"),
        ({"rows": {}}, "rows is {}"),
        ({"rows": {"bce": "training.recipe=bce"}}, "rows, bce is 'training.recipe=bce'\n  expected: a list of edits"),
        ({"rows": {"bce": {"set": [], "only": ["clear"]}}}, 'row bce is only of clear\n.*\n.*Did you mean "clean"'),
        ({"setings": {}}, 'unknown key setings\n.*\n.*Did you mean "settings"'),
        ({"groups": ["some"]}, r"groups are \['some'\]\n  expected: some of all, many, medium, few"),
        ({"seeds": [-1]}, r"seeds are \[-1\]"),
        ({"seeds": ["0"]}, "expected: a list of numbers"),
        ({"mean": "yes"}, "mean is 'yes'"),
        ({"analysis": "sampling"}, "analysis is 'sampling'\n  expected: one of confidence, sampler, verdicts"),
        ({"warmup": 2}, "warmup is 2"),
        ({"paper": {"tabel": "5"}}, 'unknown key tabel\n.*\n.*Did you mean "table"'),
    ],
)
def test_a_wrong_grid_is_refused_with_its_key(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_grid(written(tmp_path, **changes))


def test_an_edit_that_cannot_be_is_refused(tmp_path: Path) -> None:
    grid = read_grid(written(tmp_path, rows={"bce": ["training.recipe=bec"]}))
    with pytest.raises(InputError, match=r"training\.recipe is 'bec'"):
        cells_of(grid)


def test_the_set_up_is_told_where_it_differs_from_the_papers() -> None:
    found = {what: (ours, paper) for what, ours, paper in differences_to_paper(cells_of(paper_table("5")), "coco")}
    assert found["data"] == ("digits", "coco")
    assert found["epochs"] == (30, 50)
    assert "momentum" not in found
    assert "sharpness" not in found
    assert differences_to_paper(cells_of(paper_table("5")), "birds") == []


def test_the_time_that_is_left_is_judged_by_what_has_ended() -> None:
    told: list[str] = []
    progress = Progress(5, 2, told.append)
    progress.ended("one", 60)
    progress.ended("two", None)
    progress.ended("three", 120)
    assert told == [
        "one took 60 s; 1 of 5 cells, about 2 min left",
        "two failed; 2 of 5 cells, 1 failed, about 90 s left",
        "three took 2 min; 3 of 5 cells, 1 failed, about 90 s left",
    ]
    assert [duration(seconds) for seconds in (8, 600, 3 * 3600)] == ["8 s", "10 min", "3.0 h"]
    assert Plan([], [], []).told(1) == "0 cells, 0 finished, 0 to run"


def test_the_tables_of_pre_training_and_pseudo_labels() -> None:
    for name, switched in (("ssp-cifar", "from rotation"), ("pseudo-cifar", "with pseudo-labels")):
        grid = paper_table(name)
        assert (grid.name, grid.groups) == (f"table-{name}", ("error",))
        cells = cells_of(grid, [3])
        rows = {"cross-entropy", switched, *(["from rotation, with the pool"] if name == "ssp-cifar" else [])}
        assert {cell.row for cell in cells} == rows
        for cell in cells:
            on = cell.params.pretrain.method != "off" or cell.params.pseudo.use
            assert on == (cell.row != "cross-entropy")
            assert cell.params.pretrain.unlabelled == (cell.row == "from rotation, with the pool")
            assert cell.params.single_label
            assert cell.params.pretrain.seed == (3 if name == "ssp-cifar" else 0)
        assert any(published(grid, "cifar", switched, setting, "error") for setting in grid.settings)
