from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bmix.data.pretrained import Pretrained
from bmix.evaluation.doubted import doubts_of_verdicts
from bmix.evaluation.prototypes import Prototypes
from bmix.evaluation.results import Evaluation, class_table
from bmix.figures.gallery import CARDS, galleries, gallery_table, precision_at, suggestion
from bmix.figures.labels import transition_table
from bmix.figures.panels import render
from bmix.figures.per_class import curve_table, some_of, spread
from bmix.figures.plots import FIGURES, Drawings, write_plots
from bmix.figures.prototypes import plane
from bmix.figures.training import _log_component_densities
from bmix.pseudo.labels import pseudo_table
from tests.helpers.evaluation_example import Example, make_example, write_images

ALL = {*FIGURES, "found", "suspects", "missing"}


@pytest.fixture(scope="module")
def image_paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_images(tmp_path_factory.mktemp("images"), 300)


@pytest.fixture(scope="module")
def example() -> Example:
    return make_example(classes=10, images=300)


def write(evaluation: Evaluation, folder: Path, image_paths: list[Path]) -> Drawings:
    files = [path.name for path in image_paths]
    return write_plots(evaluation, doubts_of_verdicts(evaluation.labels), folder, image_paths[0].parent, files)


def with_further_stages(example: Example) -> Evaluation:
    """A run with pre-training, pseudo-labels and prototypes besides."""
    epochs = np.arange(1, 6)
    history = pd.DataFrame({"epoch": epochs, "learning_rate": 0.1, "loss": 1 / epochs, "accuracy": 1 - 0.7 / epochs})
    labels_UK = np.random.default_rng(0).integers(-1, 2, (50, len(example.classes))).astype(np.int8)
    note = {"use": True, "images": 50, "classes": pseudo_table(labels_UK, example.classes, np.ones_like(labels_UK))}
    pretrained = Pretrained("rotation", 300, history.assign(spread=np.nan), Path("model.safetensors"))
    prototypes = Prototypes(np.random.default_rng(0).normal(size=(len(example.classes), 2, 6)), 4.0)
    return replace(example.evaluation(), pretrained=pretrained, pseudo=note, prototypes=prototypes)


@pytest.mark.slow
def test_every_plot_is_written_with_its_numbers(example: Example, image_paths: list[Path], tmp_path: Path) -> None:
    drawings = write(with_further_stages(example), tmp_path, image_paths)
    assert {*drawings.figures, *(gallery.name for gallery in drawings.galleries)} == ALL
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {f"{name}.{kind}" for name in ALL for kind in ("png", "csv")} | {"classes.csv", "thresholds.csv"}
    for name in ALL:
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert "Software" not in picture.info
            assert picture.width >= 400
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20
        assert len(pd.read_csv(tmp_path / f"{name}.csv")) > 0
    for shown in drawings.figures.values():
        for panel in shown.panels:
            ElementTree.fromstring(panel.svg)
            assert "<dc:date>" not in panel.svg
            assert 'href="http' not in panel.svg


@pytest.mark.slow
def test_a_run_without_label_management_has_the_plots_that_make_sense(image_paths: list[Path], tmp_path: Path) -> None:
    drawings = write(make_example(classes=3, images=300, managed=False).evaluation(), tmp_path, image_paths)
    assert set(FIGURES) - set(drawings.figures) == {
        "verdict_shares",
        "transition",
        "mixtures",
        "pretraining",
        "pseudo_labels",
        "prototypes",
    }
    assert drawings.galleries == []
    assert {path.stem for path in tmp_path.glob("*.png")} == set(drawings.figures)


def test_no_label_changes_without_label_management() -> None:
    table = transition_table(make_example(images=300, managed=False).evaluation())
    assert (table.loc[table["given"] != table["refined"], "count"] == 0).all()


def test_unknown_truth_leaves_out_what_needs_it(example: Example, image_paths: list[Path], tmp_path: Path) -> None:
    evaluation = example.evaluation(truth_known=False)
    shown = galleries(evaluation, doubts_of_verdicts(evaluation.labels), image_paths)
    assert [precision_at(gallery) for gallery in shown] == [[], []]
    assert FIGURES["moves"](evaluation) is None
    for name in ("transition", "verdict_shares"):
        plot = FIGURES[name](evaluation)
        assert plot is not None
        assert render(plot, tmp_path / f"{name}.png")
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
            plot = FIGURES[name](made.evaluation())
            assert plot is not None
            assert render(plot, tmp_path / f"{name}.png")


@pytest.mark.slow
def test_a_history_without_val_and_a_class_without_test_positives(example: Example, tmp_path: Path) -> None:
    scores, labels = example.predictions["test"]
    labels = np.where(np.arange(10) < 9, labels, 0)
    record = replace(example.record, history=example.record.history.assign(val_map=np.nan))
    evaluation = replace(example, record=record, predictions={"test": (scores, labels)}).evaluation()
    assert np.isnan(evaluation.ap["test"][9])
    for name, panels in (("learning_curves", 1), ("pr_curves", 9), ("ap_by_class", 1)):
        plot = FIGURES[name](evaluation)
        assert plot is not None
        assert len(plot.panels) == panels
        assert render(plot, tmp_path / f"{name}.png")
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


def test_the_gallery_shows_an_image_once_and_none_where_nothing_is_doubted(
    example: Example, image_paths: list[Path]
) -> None:
    evaluation = example.evaluation()
    shown = galleries(evaluation, doubts_of_verdicts(evaluation.labels), image_paths)
    assert [gallery.name for gallery in shown] == ["suspects", "missing"]
    for gallery in shown:
        rows = gallery.cards["row"].tolist()
        assert len(rows) == len(set(rows)) <= CARDS
        assert set(gallery.thumbnails) == set(rows)
        table = gallery_table(gallery, [path.name for path in image_paths])
        assert table["file"].tolist() == [image_paths[row].name for row in gallery.table["row"]]
        wrong = (gallery.table["true"] != gallery.table["given"]).tolist()
        assert precision_at(gallery, (5, 10_000)) == [(5, sum(wrong[:5]) / 5)]
    certain = example.verdicts.assign(verdict="clean", label=example.verdicts["given"])
    evaluation = replace(example, verdicts=certain[certain["given"] == 1]).evaluation()
    assert galleries(evaluation, doubts_of_verdicts(evaluation.labels), image_paths) == []


def test_a_suggestion_says_what_the_label_should_be() -> None:
    label = {"given": 1, "class": "cat", "suggested": 0, "instead": "dog"}
    assert suggestion(label) == "not cat, but dog"
    assert suggestion(label | {"instead": ""}) == "not cat"
    assert suggestion(label | {"suggested": 1}) == "unsure; perhaps dog"
    assert suggestion(label | {"suggested": 1, "instead": ""}) == "unsure"
    assert suggestion(label | {"given": 0, "suggested": 1}) == "add cat"


def test_of_many_classes_some_are_drawn_and_that_is_said() -> None:
    assert spread(np.arange(100), 3).tolist() == [0, 50, 99]
    assert spread(np.arange(2), 3).tolist() == [0, 1]
    assert some_of(3, 100) == "Drawn are 3 of 100 classes, spread over the frequencies."
    assert some_of(2, 2) == ""


def test_a_degenerate_mixture_is_flagged(example: Example) -> None:
    fitted = example.record.mixtures
    name = example.classes[3]
    flagged = fitted.assign(degenerate=(fitted["class"] == name) & (fitted["given"] == 1))
    plot = FIGURES["mixtures"](replace(example, record=replace(example.record, mixtures=flagged)).evaluation())
    assert plot is not None
    assert plot.note.startswith("⚠ Of 1 of 10 classes one mixture at least is degenerate")
    assert f'"{name}"' in plot.note
    counts = plot.table.groupby(["class", "given"])["labels"].sum()
    assert counts[name, 1] == example.given[:, 3].sum()


def test_component_densities_are_the_weighted_normal_densities() -> None:
    mixture = pd.Series(
        {"mean_0": 0.1, "mean_1": 2.0, "variance_0": 0.04, "variance_1": 1.0, "weight_0": 0.7, "weight_1": 0.3}
    )
    loss = np.linspace(-20, 20, 400_001)
    densities = np.exp(_log_component_densities(mixture, loss))
    masses = densities.sum(axis=1) * (loss[1] - loss[0])
    np.testing.assert_allclose(masses, [0.7, 0.3], rtol=1e-6)
    np.testing.assert_allclose(loss[densities.argmax(axis=1)], [0.1, 2.0], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "count", "panels"), [(10, 5, 2), (40, 1, 2), (1, 1, 1)])
def test_prototypes_are_drawn(tmp_path: Path, classes: int, count: int, panels: int) -> None:
    places = np.random.default_rng(0).normal(size=(classes, count, 6))
    evaluation = replace(make_example(classes=classes, images=300).evaluation(), prototypes=Prototypes(places, 4.0))
    plot = FIGURES["prototypes"](evaluation)
    assert plot is not None
    assert len(plot.panels) == panels
    assert len(plot.table) == classes
    assert "own_distance" in plot.table or count == 1
    assert render(plot, tmp_path / "prototypes.png")
    if classes > 1:
        nearest = plot.table.loc[plot.table["distance"].idxmin()]
        assert f"Nearest are {nearest['class']} and {nearest['nearest']}" in plot.note


def test_the_plane_of_prototypes_keeps_their_distances() -> None:
    """Prototypes that lie on a plane in space are as far from each other in the picture."""
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(12, 2))
    basis, _ = np.linalg.qr(rng.normal(size=(7, 2)))
    drawn = plane((flat @ basis.T + 3).reshape(4, 3, 7)).reshape(12, 2)
    for a in range(12):
        for b in range(a):
            assert np.linalg.norm(drawn[a] - drawn[b]) == pytest.approx(np.linalg.norm(flat[a] - flat[b]))
