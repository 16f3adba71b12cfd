"""Every export is what its tool reads: loaded by the tool where it is at hand, else held to its documented form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import yaml
from pycocotools.coco import COCO

from bmix.cli import labels as command
from bmix.labels.answers import Answer
from bmix.labels.changes import Changes, changes_of
from bmix.labels.export import FORMATS, export_labels
from bmix.labels.run import LabelledRun
from bmix.support.errors import InputError
from tests.helpers.labelled import write_audited
from tests.helpers.spoilt import spoilt_labels

SMALL = spoilt_labels(rows=120, classes=3)
NONE = Changes()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabelledRun:
    monkeypatch.chdir(tmp_path)
    run = write_audited(tmp_path, SMALL, pictures=120)
    (tmp_path / "data/prepared/facts.json").write_text('{"notes": {}}')
    return run


@pytest.fixture
def answered(run: LabelledRun) -> Changes:
    labels = run.manifest.frame["labels"]
    row = int(np.flatnonzero(labels.map(lambda names: names == ["dog"]))[0])
    return changes_of(run, [Answer(f"i{row}", "dog", "other", {"dog": 0, "<b>owl</b>": 1})])


def test_the_formats_are_those_of_the_command() -> None:
    assert command.FORMATS == FORMATS


def test_csv_and_parquet(run: LabelledRun, answered: Changes) -> None:
    told = export_labels(run, answered, "csv", Path("c.csv"))
    assert told == "a corrected copy of labels.csv"
    before, after = Path("labels.csv").read_text().splitlines(), Path("c.csv").read_text().splitlines()
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
    export_labels(run, answered, "parquet", Path("c.parquet"))
    corrected = pd.read_parquet("c.parquet")
    assert list(corrected.columns) == ["id", "path", "split", "labels"]
    export_labels(run, NONE, "csv", Path("s.csv"))
    beside = pd.read_csv("s.csv", keep_default_na=False)
    assert list(beside.columns) == ["id", "file", "split", "given", "suggested", "differs"]
    true = [";".join(np.array(run.classes)[row == 1]) for row in SMALL.true]
    differs = beside["differs"] == "yes"
    assert (beside["suggested"][differs] == np.array(true, dtype=object)[differs]).mean() > 0.7
    with pytest.raises(InputError, match=r"\.csv or \.parquet"):
        export_labels(run, NONE, "csv", Path("s.txt"))


def test_coco_is_loaded_by_pycocotools(run: LabelledRun, answered: Changes) -> None:
    export_labels(run, answered, "coco", Path("c.json"))
    coco = COCO("c.json")
    assert len(coco.getImgIds()) == 120
    changed = answered.changed[0].id
    (image,) = [own for own in coco.loadImgs(coco.getImgIds()) if own["bmix_id"] == changed]
    assert (image["width"], image["height"]) == (40, 30)
    names = [coco.loadCats(own["category_id"])[0]["name"] for own in coco.imgToAnns[image["id"]]]
    assert names == ["<b>owl</b>"]
    with pytest.raises(InputError, match="no place for suggestions"):
        export_labels(run, NONE, "coco", Path("d.json"))


def test_yolo_has_a_file_for_each_image(run: LabelledRun, answered: Changes) -> None:
    export_labels(run, answered, "yolo", Path("yolo"))
    content = yaml.safe_load(Path("yolo/data.yaml").read_text())
    assert content["names"] == {0: "=cat", 1: "dog", 2: "<b>owl</b>"}
    files = Path("yolo", content["train"]).read_text().splitlines()
    assert len(files) == 120
    for file in files[:5]:
        image = Path("yolo", file)
        assert image.is_file()
        # As YOLO finds the labels of an image.
        text = Path(str(image).replace("/images/", "/labels/")).with_suffix(".txt").read_text()
        row = SMALL.given[int(image.stem[1:])]
        if image.stem != answered.changed[0].id:
            assert [line.split()[0] for line in text.splitlines()] == [str(k) for k in np.flatnonzero(row)]
            assert all(line.split()[1:] == ["0.5", "0.5", "1", "1"] for line in text.splitlines())


def test_cleanlab_gets_labels_and_probabilities(run: LabelledRun, answered: Changes) -> None:
    export_labels(run, NONE, "cleanlab", Path("c.json"))
    content = json.loads(Path("c.json").read_text())
    probabilities = np.array(content["pred_probs"])
    assert probabilities.shape == SMALL.given.shape
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert [np.flatnonzero(row).tolist() for row in SMALL.given] == content["labels"]
    assert set(content) == {"class_names", "ids", "files", "splits", "labels", "pred_probs", "suggested_labels"}
    # What cleanlab makes of them: the probability of a given label is its quality.
    own = np.where(SMALL.given == 1, probabilities, 1 - probabilities)
    wrong = SMALL.given != SMALL.true
    assert own[wrong].mean() < 0.4 < 0.7 < own[~wrong].mean()
    cleanlab = pytest.importorskip("cleanlab", reason="cleanlab is not installed")
    from cleanlab.multilabel_classification.filter import find_label_issues

    assert cleanlab
    assert find_label_issues(content["labels"], probabilities).sum() > 5


def test_label_studio_gets_tasks_and_an_interface(run: LabelledRun, answered: Changes) -> None:
    export_labels(run, NONE, "label-studio", Path("tasks.json"))
    tasks = json.loads(Path("tasks.json").read_text())
    interface = ElementTree.parse("tasks.xml").getroot()
    choices = interface.find("Choices")
    assert choices is not None
    assert [own.get("value") for own in choices] == run.classes
    assert len(tasks) == 120
    predicted = [task for task in tasks if "predictions" in task]
    assert predicted
    for task in predicted:
        assert task["data"]["image"].startswith("/data/local-files/?d=i")
        results: list[dict[str, Any]] = [*task["annotations"][0]["result"], *task["predictions"][0]["result"]]
        for result in results:
            assert result["from_name"] == choices.get("name")
            assert result["to_name"] == choices.get("toName")
            assert result["type"] == "choices"
            assert set(result["value"]["choices"]) <= set(run.classes)
    export_labels(run, answered, "label-studio", Path("tasks.json"))
    assert all(task["annotations"][0]["ground_truth"] for task in json.loads(Path("tasks.json").read_text()))


def test_fiftyone_gets_its_documented_layout(run: LabelledRun) -> None:
    export_labels(run, NONE, "fiftyone", Path("fo"))
    files = json.loads(Path("fo/data.json").read_text())
    assert all(Path(file).is_file() for file in files.values())
    for name in ("labels", "suggested"):
        content = json.loads(Path(f"fo/{name}.json").read_text())
        assert content["classes"] == run.classes
        assert set(content["labels"]) == set(files)
        assert all(0 <= number < 3 for own in content["labels"].values() for number in own)


@pytest.mark.parametrize("form", ["fiftyone", "yolo"])
def test_a_folder_is_replaced_where_an_export_wrote_it_and_only_if_asked(run: LabelledRun, form: str) -> None:
    def export(replace: bool = False) -> None:
        command.export(form, Path("out"), accept_above=[("", 0.9)], replace=replace)

    export()
    first = {path: path.read_bytes() for path in Path("out").rglob("*.json")}
    (Path("out") / "left").touch()
    with pytest.raises(InputError, match=r"out is there already(.|\n)*have it replaced: --replace"):
        export()
    export(replace=True)
    assert not (Path("out") / "left").exists()
    assert {path: path.read_bytes() for path in Path("out").rglob("*.json")} == first
    assert all((Path("images") / f"i{row}.png").is_file() for row in range(120))
    (Path("out") / "bmix-export.json").unlink()
    with pytest.raises(InputError, match=rf"out is no {form} export of bmix"):
        export(replace=True)
    assert (Path("out") / ("data.yaml" if form == "yolo" else "data.json")).is_file()


def test_the_command_says_what_it_wrote(run: LabelledRun, capsys: pytest.CaptureFixture[str]) -> None:
    command.export("csv", Path("c.csv"), accept_above=[("", 0.9)])
    assert "c.csv: a corrected copy of labels.csv" in capsys.readouterr().out
    command.export("csv", Path("p.csv"), accept_above=[("", 0.9)], plain=True)
    assert "p.csv: a table of the corrected labels" in capsys.readouterr().out
