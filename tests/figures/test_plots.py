from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bmix.evaluation.results import class_table
from bmix.figures.labels import suspect_sheet
from bmix.figures.plots import FIGURES, curve_table, transition_table, write_plots
from bmix.figures.training import _log_component_densities
from tests.helpers.evaluation_example import Example, make_example, write_images

ALL = {*FIGURES, "suspects"}


@pytest.fixture(scope="module")
def image_paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_images(tmp_path_factory.mktemp("images"), 300)


@pytest.fixture(scope="module")
def example() -> Example:
    return make_example(classes=10, images=300)


@pytest.mark.slow
def test_every_plot_is_written(example: Example, image_paths: list[Path], tmp_path: Path) -> None:
    assert set(write_plots(example.evaluation(), tmp_path, image_paths)) == ALL
    written = {path.name for path in tmp_path.iterdir()}
    tables = {"pr_curves.csv", "classes.csv", "transition.csv", "reliability.csv", "thresholds.csv"}
    assert written == {f"{name}.png" for name in ALL} | tables
    for name in ALL:
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert "Software" not in picture.info
            assert picture.width >= 600
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20


@pytest.mark.slow
def test_a_run_without_label_management_has_the_plots_that_make_sense(image_paths: list[Path], tmp_path: Path) -> None:
    names = write_plots(make_example(images=300, managed=False).evaluation(), tmp_path, image_paths)
    assert ALL - set(names) == {"verdict_shares", "transition", "mixtures", "suspects"}
    assert {path.stem for path in tmp_path.glob("*.png")} == set(names)
    table = pd.read_csv(tmp_path / "transition.csv")
    assert (table.loc[table["given"] != table["refined"], "count"] == 0).all()


@pytest.mark.slow
def test_unknown_truth_leaves_out_what_needs_it(example: Example, image_paths: list[Path], tmp_path: Path) -> None:
    evaluation = example.evaluation(truth_known=False)
    assert suspect_sheet(evaluation, tmp_path / "sheet.png", image_paths)
    for name in ("transition", "verdict_shares"):
        assert FIGURES[name](evaluation, tmp_path / f"{name}.png")
    table = transition_table(evaluation)
    assert (table["true"] == "").all()
    assert len(table) == 4 * len(example.classes)
    assert table["count"].sum() == example.given.size
    assert "wrong_positives" not in class_table(evaluation)


@pytest.mark.slow
def test_awkward_class_names_and_a_single_class_can_be_drawn(tmp_path: Path) -> None:
    for classes, names in ((2, ["_a $x^$ <b>", "a very long name " * 5]), (1, ["$"])):
        made = make_example(classes=classes, images=300)
        renamed = dict(zip(made.classes, names, strict=True))
        mixtures = made.record.mixtures.replace({"class": renamed})
        made = replace(
            made,
            classes=names,
            verdicts=made.verdicts.replace({"class": renamed}),
            record=replace(made.record, mixtures=mixtures),
        )
        for name in ("class_frequencies", "ap_by_class", "pr_curves", "mixtures", "transition"):
            assert FIGURES[name](made.evaluation(), tmp_path / f"{name}.png")


@pytest.mark.slow
def test_a_history_without_val_and_a_class_without_test_positives(example: Example, tmp_path: Path) -> None:
    scores, labels = example.predictions["test"]
    labels = np.where(np.arange(10) < 9, labels, 0)
    record = replace(example.record, history=example.record.history.assign(val_map=np.nan))
    evaluation = replace(example, record=record, predictions={"test": (scores, labels)}).evaluation()
    assert np.isnan(evaluation.ap["test"][9])
    for name in ("learning_curves", "pr_curves", "ap_by_class"):
        assert FIGURES[name](evaluation, tmp_path / f"{name}.png")
    assert evaluation.means("test")["left_out"] == 1


def test_tables_for_dvc(example: Example) -> None:
    evaluation = example.evaluation()
    curves = curve_table(evaluation)
    assert list(curves) == ["class", "recall", "precision"]
    assert (curves.groupby("class")["recall"].max() == 1).all()
    classes = class_table(evaluation)
    assert list(classes["train_positives"]) == list(example.true.sum(axis=0))
    np.testing.assert_allclose(classes["ap"], evaluation.ap["test"], atol=1e-6)
    np.testing.assert_allclose(classes["ap_balanced"], evaluation.ap["test-balanced"], atol=1e-6)
    shares = classes[["clean_positives", "relabelled_positives", "ambiguous_positives"]].sum(axis=1)
    np.testing.assert_allclose(shares, 1, atol=1e-5)
    moves = transition_table(evaluation)
    wrong = moves[(moves["given"] == 1) & (moves["true"] == 0)].groupby("class", sort=False)["count"].sum()
    np.testing.assert_allclose(wrong / example.given.sum(axis=0), classes["wrong_positives"], atol=1e-6)


def test_the_sheet_shows_an_image_once_and_none_where_nothing_is_doubted(
    example: Example, image_paths: list[Path], tmp_path: Path
) -> None:
    certain = example.verdicts.assign(verdict="clean", label=example.verdicts["given"])
    evaluation = replace(example, verdicts=certain[certain["given"] == 1]).evaluation()
    assert not suspect_sheet(evaluation, tmp_path / "sheet.png", image_paths)
    assert not (tmp_path / "sheet.png").exists()


def test_component_densities_are_the_weighted_normal_densities() -> None:
    mixture = pd.Series(
        {"mean_0": 0.1, "mean_1": 2.0, "variance_0": 0.04, "variance_1": 1.0, "weight_0": 0.7, "weight_1": 0.3}
    )
    loss = np.linspace(-20, 20, 400_001)
    densities = np.exp(_log_component_densities(mixture, loss))
    masses = densities.sum(axis=1) * (loss[1] - loss[0])
    np.testing.assert_allclose(masses, [0.7, 0.3], rtol=1e-6)
    np.testing.assert_allclose(loss[densities.argmax(axis=1)], [0.1, 2.0], atol=1e-4)
