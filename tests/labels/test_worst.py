"""The list of labels to look at: its order, its choices, its words, and what it says where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bmix.audit.files import write_audit
from bmix.cli import labels as command
from bmix.labels.run import LabelledRun, find_run
from bmix.labels.scored import read_scored
from bmix.labels.worst import COLUMNS, NAMES, worst_labels
from bmix.support.errors import InputError
from bmix.support.spreadsheet import read_named_csv
from tests.helpers.labelled import CLASSES, SPOILT, write_audited


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabelledRun:
    monkeypatch.chdir(tmp_path)
    return write_audited(tmp_path)


def test_the_first_are_wrong_and_the_suggestion_is_the_truth(run: LabelledRun) -> None:
    found = worst_labels(run, read_scored(run), 20)
    assert list(found.columns) == COLUMNS
    assert found["quality"].is_monotonic_increasing
    rows = found["id"].str[1:].astype(int)
    columns = [CLASSES.index(name) for name in found["class"]]
    true = SPOILT.true[rows, columns]
    assert (true != found["given"]).mean() >= 0.9
    assert (true == found["suggested"]).mean() >= 0.9
    assert found["file"].tolist() == [f"{name}.png" for name in found["id"]]
    given = [";".join(np.array(CLASSES)[SPOILT.given[row] == 1]) for row in rows]
    assert found["labels"].tolist() == given


def test_a_class_that_belongs_there_instead_is_named(run: LabelledRun) -> None:
    found = worst_labels(run, read_scored(run), 30, value="present")
    named = found[found["instead"] != ""]
    assert len(named) >= 10
    rows, columns = named["id"].str[1:].astype(int), [CLASSES.index(name) for name in named["instead"]]
    assert (SPOILT.given[rows, columns] == 0).all()
    assert SPOILT.true[rows, columns].mean() >= 0.9
    assert set(worst_labels(run, read_scored(run), 30, value="absent")["instead"]) == {""}


def test_a_class_and_a_value_can_be_chosen(run: LabelledRun) -> None:
    scored = read_scored(run)
    found = worst_labels(run, scored, 10, class_name="dog", value="present")
    assert set(found["class"]) == {"dog"}
    assert set(found["given"]) == {1}
    assert set(worst_labels(run, scored, 10, value="absent")["given"]) == {0}
    assert len(worst_labels(run, scored)) == SPOILT.given.size


def test_why_is_said_in_words(run: LabelledRun) -> None:
    found = worst_labels(run, read_scored(run), 400)
    for given, end in ((1, " % are given {}"), (0, " % are given {}, and this one is not")):
        row = found[found["given"] == given].iloc[0]
        assert row["why"].startswith("of images like this ")
        assert row["why"].endswith(end.format(row["class"]))


def test_the_command_writes_names_that_no_spreadsheet_runs(
    run: LabelledRun, capsys: pytest.CaptureFixture[str]
) -> None:
    command.worst(count=5, class_name="=cat", output=Path("look.csv"))
    assert "'=cat" in Path("look.csv").read_text()
    written = read_named_csv(Path("look.csv"), (*NAMES, "answer"))
    assert set(written["class"]) == {"=cat"}
    assert written["answer"].tolist() == [""] * 5
    shown = capsys.readouterr().out
    assert "p_wrong" in shown
    assert "5 labels written to look.csv" in shown


def test_what_is_not_there_is_told(run: LabelledRun) -> None:
    folder = Path("data/audit")
    with pytest.raises(InputError, match="one of train"):
        read_scored(run, "val")
    with pytest.raises(InputError, match='"dog"'):
        worst_labels(run, read_scored(run), 5, class_name="dgo")
    with pytest.raises(InputError, match='no run "other"'):
        find_run("other")
    quality = folder / "label_quality.parquet"
    whole = quality.read_bytes()
    quality.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="not readable"):
        read_scored(run)
    quality.write_bytes(whole)
    other = LabelledRun(run.folder, run.params, run.manifest, 1 - run.train_given_NK, None)
    with pytest.raises(InputError, match="judges other labels of split train"):
        read_scored(other)
    write_audit(folder, "off", CLASSES, {})
    with pytest.raises(InputError, match="no trained network, and no audit"):
        read_scored(run)
    quality.unlink()
    with pytest.raises(InputError, match="bmix repro"):
        read_scored(run)


def test_where_no_run_was_made_it_says_how_to_make_one(run: LabelledRun) -> None:
    Path("data/prepared/manifest.parquet").unlink()
    with pytest.raises(InputError, match="there is no run here yet") as caught:
        LabelledRun.open(find_run(""))
    assert "bmix repro; or name a run that bmix runs lists: --run NAME" in caught.value.remedy
