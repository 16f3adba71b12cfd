from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from bmix import load_model
from bmix.models.backbones import build_classifier
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier, save_classifier
from bmix.serving.pictures import find_pictures
from bmix.serving.predict import Predictions, predict_pictures
from bmix.serving.tables import objects, table, text

Answer = Callable[..., tuple[int, str, str]]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Answer:
    """What `bmix predict ARGUMENTS` ends with, and what it prints and tells."""
    from bmix.cli.app import app

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("dvc.yaml").write_text("stages:\n  train:\n    cmd: x\n    outs: [models/final/model.json]\n")

    def ask(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bmix", "predict", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app(prog_name="bmix")
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return ask


def test_a_folder_gets_the_numbers_of_load_model(pictures: Path, model_folder: Path, answer: Answer) -> None:
    model = load_model(model_folder)
    assert model.calibration.temperature != 1
    paths = sorted(pictures.glob("*.png"))
    expected = model.predict(paths)
    status, out, err = answer(pictures, "--model", model_folder)
    assert (status, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["path"] for row in rows] == [str(path) for path in paths]
    found = torch.tensor([[float(row[f"p_{name}"]) for name in model.classes] for row in rows])
    torch.testing.assert_close(found, expected)
    present = model.calibration.present(expected.numpy())
    assert 0 < present.sum() < present.size
    for row, own in zip(rows, present, strict=True):
        assert row["labels"] == ";".join(name for name, there in zip(model.classes, own, strict=True) if there)


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_every_format_holds_the_same(form: str, pictures: Path, model_folder: Path, answer: Answer) -> None:
    model = load_model(model_folder)
    output = Path(f"made.{form}")
    status, out, _ = answer(pictures / "003.png", pictures / "001.png", "--model", model_folder, "--output", output)
    assert (status, out) == (0, f"2 predictions written to {output}\n")
    expected = model.predict([pictures / "003.png", pictures / "001.png"]).numpy()
    if form == "json":
        made = json.loads(output.read_text())
        found = [[each["probabilities"][name] for name in model.classes] for each in made]
        names = [each["path"] for each in made]
    else:
        frame = pd.read_csv(output) if form == "csv" else pd.read_parquet(output)
        found, names = frame[[f"p_{name}" for name in model.classes]].to_numpy(), frame["path"].tolist()
    assert names == [str(pictures / "003.png"), str(pictures / "001.png")]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_likeliest_classes_alone(pictures: Path, model_folder: Path, answer: Answer) -> None:
    status, out, _ = answer(pictures / "000.png", "--model", model_folder, "--top", 2, "--format", "json")
    assert status == 0
    model = load_model(model_folder)
    probabilities = model.predict(pictures / "000.png")[0]
    likeliest = [model.classes[k] for k in probabilities.argsort(descending=True)[:2]]
    assert list(json.loads(out)[0]["probabilities"]) == likeliest
    _, out, _ = answer(pictures / "000.png", "--model", model_folder, "--top", 2)
    (row,) = csv.DictReader(io.StringIO(out))
    assert [row["class_1"], row["class_2"]] == likeliest
    assert float(row["p_1"]) == pytest.approx(float(probabilities.max()), rel=1e-6)


def test_files_that_cannot_be_read_are_listed_and_the_others_predicted(
    pictures: Path, model_folder: Path, answer: Answer
) -> None:
    Path("bad.png").write_bytes(b"no picture")
    status, out, err = answer(pictures / "000.png", "bad.png", pictures / "001.png", "--model", model_folder)
    assert status == 1
    assert len(out.splitlines()) == 3
    assert err.splitlines()[0] == "not read: 1 of 3 files"
    assert err.splitlines()[1].startswith("  bad.png: not readable as an image: is none of JPEG")


def test_a_table_names_files_below_its_folder(pictures: Path, model_folder: Path, answer: Answer) -> None:
    outside = Path("outside.png")
    outside.write_bytes((pictures / "000.png").read_bytes())
    Path("set/images").mkdir(parents=True)
    for name in ("000", "001"):
        Path(f"set/images/{name}.png").write_bytes((pictures / f"{name}.png").read_bytes())
    Path("set/images/link.png").symlink_to(outside.resolve())
    table = Path("set/labels.csv")
    names = ["images/001.png", "images/000.png", "images/001.png", "images/link.png", "images/gone.png"]
    table.write_text("path,labels\n" + "".join(f"{name},x\n" for name in names))
    status, out, err = answer(table, "--model", model_folder)
    assert status == 1
    assert [row["path"] for row in csv.DictReader(io.StringIO(out))] == names[:3]
    assert "images/link.png: lies outside of set, by way of a symbolic link" in err
    assert "images/gone.png: no such file" in err
    Path("names.csv").write_text("path\n001.png\n")
    status, out, _ = answer("names.csv", "--root", "set/images", "--model", model_folder)
    assert (status, len(out.splitlines())) == (0, 2)


@pytest.mark.parametrize("path", ["../outside.png", "/etc/hostname", "a/../../b.png"])
def test_no_path_of_a_table_leaves_its_folder(path: str, model_folder: Path, answer: Answer) -> None:
    Path("labels.csv").write_text(f"path\n{path}\n")
    status, _, err = answer("labels.csv", "--model", model_folder)
    assert status == 2
    assert f'labels.csv, line 2: path "{path}"' in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["gone"], "gone: no such file or folder"),
        (["empty"], "empty: holds no image"),
        (["gone.csv"], "gone.csv: no such file"),
        (["labels.csv"], "labels.csv: no column path; columns found: a, b"),
        (["labels.csv", "empty"], "labels.csv: is a table among other places"),
        (["empty", "--root", "empty"], "--root: is empty, but no table is named"),
        (["labels.csv", "--root", "gone"], "--root: gone is not a folder"),
        (["empty", "--format", "parquet"], "--format: parquet without --output"),
        (["empty", "--output", "models/final/model.json"], "which the pipeline writes and removes"),
        (["empty", "--format", "xml"], "--format: xml is none of them"),
        ([], "a value is missing"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], told: str, answer: Answer) -> None:
    Path("empty").mkdir()
    Path("labels.csv").write_text("a,b\n1,2\n")
    status, out, err = answer(*arguments)
    assert (status, out) == (2, "")
    assert told in err


def test_a_model_of_features_is_told_how_to_be_used(pictures: Path, tmp_path: Path, answer: Answer) -> None:
    network = build_classifier("identity", "linear", 2, "none", 0, feature_count=3)
    spec = ClassifierSpec.of("identity", "linear", 16, ["a", "b"], features=3)
    save_classifier(Classifier(network, spec), tmp_path / "features")
    status, _, err = answer(pictures, "--model", tmp_path / "features")
    assert status == 2
    assert "a model of vectors of 3 features" in err


def test_batches_of_any_size_give_the_same(pictures: Path, model_folder: Path) -> None:
    model, found = load_model(model_folder), find_pictures([str(pictures)])
    one, many = (predict_pictures(model, found, size).probabilities_NK for size in (7, 64))
    np.testing.assert_allclose(one, many, atol=1e-6)


def test_names_are_no_formulas_in_a_spreadsheet() -> None:
    made = Predictions(("=1+1", "b"), ["-x.png"], np.array([[0.75, 0.25]], np.float32), np.array([[True, False]]))
    row = text(made, "csv").splitlines()[1].split(",")
    assert row == ["'-x.png", "'=1+1", "0.75", "0.25"]
    assert text(made, "csv", top=1).splitlines()[1] == "'-x.png,'=1+1,'=1+1,0.75"
    assert table(made)["labels"].tolist() == [["=1+1"]]
    assert objects(made)[0]["labels"] == ["=1+1"]


def test_nothing_read_is_an_empty_table(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    made = predict_pictures(load_model(model_folder), find_pictures([str(tmp_path)]))
    assert (made.names, list(made.unreadable)) == ([], [str(tmp_path / "a.png")])
    assert text(made, "csv") == "path,labels,p_north,p_east,p_south\n"
    assert text(made, "csv", top=1) == "path,labels,class_1,p_1\n"
    assert json.loads(text(made, "json")) == []
