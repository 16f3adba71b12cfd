"""Answers and rules as a new table: what it says, what stands beside it, and that it can be trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import typer

from bmix.cli import labels as command
from bmix.labels.answers import Answer, append_answer, read_answers, standing
from bmix.labels.changes import changes_of, labels_by_id
from bmix.labels.copies.plain import plain_table, write_plain
from bmix.labels.run import LabelledRun
from bmix.labels.scored import read_scored
from bmix.labels.worst import NAMES, worst_labels
from bmix.sources.table.read import read_table
from bmix.support.errors import InputError
from bmix.support.spreadsheet import write_named_csv
from tests.helpers.labelled import CLASSES, SPOILT, write_audited


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabelledRun:
    monkeypatch.chdir(tmp_path)
    run = write_audited(tmp_path)
    (tmp_path / "data/prepared/facts.json").write_text('{"notes": {}}')
    return run


def answered_by_truth(run: LabelledRun, count: int) -> pd.DataFrame:
    found = worst_labels(run, read_scored(run), count)
    rows = found["id"].str[1:].astype(int)
    true = SPOILT.true[rows, [CLASSES.index(name) for name in found["class"]]]
    return found.assign(answer=["reject" if right else "accept" for right in true == found["given"]])


def test_a_filled_in_list_becomes_a_table_that_trusts_it(run: LabelledRun, capsys: pytest.CaptureFixture[str]) -> None:
    listed = answered_by_truth(run, 60)
    write_named_csv(Path("look.csv"), listed.assign(instead=""), (*NAMES, "answer"))
    command.apply(output=Path("new.csv"), answers=Path("look.csv"))
    shown = capsys.readouterr().out
    wrong = int((listed["answer"] == "accept").sum())
    assert f"{60 - wrong} kept" in shown
    assert "train on it: --set data.path=new.csv\n" in shown
    manifest = read_table(Path("new.csv"), Path("images"), 0)
    assert manifest.frame["reviewed"].map(len).sum() == 60
    assert "60 labels that people looked at" in manifest.notes["reviewed"]
    before = run.manifest.frame.set_index("id")["labels"].map(set)
    after = manifest.frame.set_index("id")["labels"].map(set)
    assert sum(len(a ^ b) for a, b in zip(before, after[before.index], strict=True)) == wrong
    note = json.loads(Path("new.csv.provenance.json").read_text())
    assert note["answers"]["file"] == "look.csv"
    assert len(note["changes"]) == 60
    assert note["from"]["file"] == "labels.csv"
    assert set(note["run"]) == {"name", "params", "manifest", "labels", "audit", "bmix"}


def test_a_class_instead_and_all_right_labels(run: LabelledRun) -> None:
    ids = labels_by_id(run)
    one = next(id_ for id_, names in ids.items() if names == ["dog"])
    other = next(id_ for id_, names in ids.items() if names == ["<b>owl</b>"])
    table = pd.DataFrame(
        {
            "id": [one, other, "i0"],
            "class": ["dog", "<b>owl</b>", "dog"],
            "answer": ["accept", "other", ""],
            "instead": ["'=cat", "", ""],
            "other": ["", "dog;'=cat".replace("'", ""), ""],
        }
    )
    table.to_csv("a.csv", index=False)
    changes = changes_of(run, read_answers(Path("a.csv"), CLASSES, ids))
    assert changes.reviewed() == {
        one: {"dog": "removed", "=cat": "added"},
        other: {"<b>owl</b>": "removed", "dog": "added", "=cat": "added"},
    }


def test_a_rule_touches_what_nobody_answered(run: LabelledRun) -> None:
    scored = read_scored(run).frame
    likely = scored[scored["p_wrong"] > 0.9]
    first = likely.iloc[0]
    answer = Answer(first["id"], first["class"], "reject", {first["class"]: int(first["given"])})
    changes = changes_of(run, [answer], {"": 0.9})
    assert len(changes.changed) == len(likely) - 1
    assert changes.reviewed() == {first["id"]: {first["class"]: "kept"}}
    of_dogs = changes_of(run, [], {"dog": 0.9})
    assert {change.class_name for change in of_dogs.changed} == {"dog"}
    with pytest.raises(InputError, match='no class "dgo"'):
        changes_of(run, [], {"dgo": 0.9})


def test_nothing_to_apply_and_wrong_limits_are_refused(run: LabelledRun) -> None:
    with pytest.raises(typer.BadParameter, match="nothing to apply"):
        command.apply(output=Path("new.csv"))
    for value in ("1.5", "cat=x", "-0.1"):
        with pytest.raises(typer.BadParameter, match="not a probability"):
            command._limit_of(value)
    assert command._limit_of("a=b=0.5") == ("a=b", 0.5)


def test_the_last_answer_holds_and_can_be_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    said = [("accept", "me"), ("reject", "you"), ("undo", "you"), ("skip", "me"), ("undo", "me"), ("undo", "you")]
    for answer, reviewer in said:
        cells = {"dog": int(answer == "reject")} if answer in ("accept", "reject") else {}
        append_answer(path, Answer("i0", "dog", answer, cells, reviewer))
    with path.open("ab") as file:
        file.write(b'{"id": "i1", "cla')
    read = read_answers(path, ["dog"], {"i0": ["dog"]})
    assert [own.answer for own in read] == [answer for answer, _ in said]
    assert [own.answer for own in standing(read)] == ["accept"]
    append_answer(path, Answer("i0", "dog", "reject", {"dog": 1}, "me"))
    with pytest.raises(InputError, match="line 7: not an answer"):
        read_answers(path, ["dog"], {"i0": ["dog"]})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,class\ni0,dog\n", 'no column "answer"'),
        ("id,class,answer\ni0,dgo,accept\n", 'row 1: no class "dgo"'),
        ("id,class,answer\nx,dog,accept\n", 'row 1: no image "x"'),
        ("id,class,answer\ni0,dog,perhaps\n", 'row 1: answer "perhaps"'),
    ],
)
def test_answers_that_cannot_be_meant_are_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        read_answers(path, ["dog"], {"i0": ["dog"]})
    assert told in str(raised.value)


@pytest.mark.parametrize("classes", [["cat", "dog"], ["cat, tame", "dog;wild"]])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_plain_table_is_read_back(classes: list[str], suffix: str, tmp_path: Path) -> None:
    run = write_audited(tmp_path, classes=[*classes, "owl"])
    changes = changes_of(run, [Answer("i3", "owl", "other", {"owl": 1})])
    table = plain_table(run, changes, marked=True)
    write_plain(table, run.classes, tmp_path / f"new{suffix}")
    back = read_table(tmp_path / f"new{suffix}", tmp_path / "images", 0).frame
    assert back["labels"].map(sorted).tolist() == table["labels"].map(sorted).tolist()
    assert back["reviewed"].map(len).sum() == 1


def test_a_plain_table_is_written_on_request(run: LabelledRun, capsys: pytest.CaptureFixture[str]) -> None:
    command.apply(output=Path("plain.csv"), accept_above=[("", 0.9)], plain=True)
    assert "--set data.path=plain.csv data.source=table data.splits=auto" in capsys.readouterr().out
    written = pd.read_csv("plain.csv", keep_default_na=False)
    assert list(written.columns) == ["id", "path", "split", "labels", "reviewed"]
