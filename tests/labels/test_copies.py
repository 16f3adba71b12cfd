"""Corrected copies: what nothing changes is as it was, byte for byte, and the source reads what was to be written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bmix.data.manifest import Manifest, write_manifest
from bmix.data.noisy import write_labels
from bmix.labels.changes import Change, Changes
from bmix.labels.copies.copy import write_copy
from bmix.labels.copies.csv_copy import cell_spans, csv_cell
from bmix.labels.run import LabelledRun
from bmix.params import load_params
from bmix.sources.facts import facts
from bmix.sources.registry import SOURCES
from bmix.support.errors import InputError
from tests.helpers.features import write_npz
from tests.helpers.tiny import write_params

Edit = dict[tuple[str, str], int]


def opened(folder: Path, path: Path, *edits: str) -> LabelledRun:
    """A run of a file, as prepare and noise would have written it."""
    source = next((edit for edit in edits if edit.startswith("data.source=")), "data.source=table")
    write_params(folder, source, f"data.path={path}", f"data.root={folder}", "noise.kind=none", *edits)
    data = load_params(folder / "params.yaml").data
    images = folder / "data/prepared/images"
    manifest = SOURCES[data.source].read(data, images if data.source == "features" else None)
    write_manifest(manifest, folder / "data/prepared")
    (folder / "data/prepared/facts.json").write_text(json.dumps(facts(manifest, 2, 1)))
    (folder / "data/noisy").mkdir(parents=True, exist_ok=True)
    write_labels(folder / "data/noisy", manifest, manifest.labels("train"), None)
    return LabelledRun.open(folder)


def changed(run: LabelledRun, edits: Edit) -> Changes:
    frame: Manifest = run.manifest
    given = dict(zip(frame.frame["id"], frame.frame["labels"], strict=True))
    return Changes(
        {key: Change(*key, int(key[1] in given[key[0]]), value, "answer", "me") for key, value in edits.items()}
    )


def copied(run: LabelledRun, edits: Edit, output: Path, marked: bool = False) -> str:
    write_copy(run, changed(run, edits), output, marked)
    return output.read_bytes().decode()


EDITS: Edit = {("a.jpg", "cat"): 0, ("a.jpg", "owl"): 1, ("c.jpg", "dog"): 0, ("b.jpg", "dog"): 1}
ROWS = [("a.jpg", ["cat", "dog"]), ("b.jpg", ["owl"]), ("c.jpg", ["dog"]), ("d.jpg", []), ("e.jpg", ["cat", "owl"])]


def table(write: Callable[[list[str]], str], end: str = "\n", extra: str = ',"a ""b"", c"') -> str:
    lines = [f"{name},{write(names)}{extra}" for name, names in ROWS]
    return end.join(["path,labels,note", *lines, ""])


FORMS: dict[str, tuple[str, str]] = {
    "semicolons": (table(";".join), table(";".join)),
    "bars, windows": (table("|".join, "\r\n"), table("|".join, "\r\n")),
    "quoted": (table(lambda names: f'"{",".join(names)}"'), table(lambda names: f'"{",".join(names)}"')),
    "json": (
        table(lambda names: '"' + json.dumps(names).replace('"', '""') + '"'),
        table(lambda names: '"' + json.dumps(names).replace('"', '""') + '"'),
    ),
    "python": (table(lambda names: f'"{names}"'), table(lambda names: f'"{names}"')),
    "bom": ("\ufeff" + table(";".join), "\ufeff" + table(";".join)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_csv_keeps_every_byte_that_nothing_changes(form: str, tmp_path: Path) -> None:
    before, _ = FORMS[form]
    path = tmp_path / "labels.csv"
    path.write_bytes(before.encode())
    for name, _ in ROWS:
        (tmp_path / name).touch()
    run = opened(tmp_path, path)
    after = copied(run, EDITS, tmp_path / "new.csv")
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    assert len(old) == len(new)
    same = [a == b for a, b in zip(old, new, strict=True)]
    assert same == [True, False, False, False, True, True]
    assert all(line.rstrip("\r\n").endswith(',"a ""b"", c"') for line in new[1:])
    assert copied(run, {}, tmp_path / "new.csv") == before
    marked = copied(run, EDITS, tmp_path / "new.csv", marked=True)
    frame = pd.read_csv(tmp_path / "new.csv", keep_default_na=False, encoding="utf-8-sig")
    assert list(frame.columns) == ["path", "labels", "note", "split", "reviewed"]
    assert json.loads(frame["reviewed"][0]) == {"cat": "removed", "owl": "added"}
    assert frame["reviewed"][4] == ""
    assert marked.startswith(before.splitlines()[0])
    again = opened(tmp_path, tmp_path / "new.csv")
    assert again.manifest.frame["split"].tolist() == run.manifest.frame["split"].tolist()
    assert again.manifest.frame["reviewed"][again.manifest.frame["id"] == "a.jpg"].iloc[0] == ["cat", "owl"]
    # A second review goes on from the first.
    copied(again, {("a.jpg", "dog"): 1}, tmp_path / "newer.csv", marked=True)
    twice = pd.read_csv(tmp_path / "newer.csv", keep_default_na=False, encoding="utf-8-sig")
    assert json.loads(twice["reviewed"][0]) == {"cat": "removed", "owl": "added", "dog": "kept"}


def test_columns_of_0_and_1_are_spelt_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    rows = [f"{name},{'yes' if 'cat' in own else 'no'},{'1.0' if 'dog' in own else '0.0'}" for name, own in ROWS]
    path.write_text("\n".join(["path,cat,dog", *rows]))
    for name, _ in ROWS:
        (tmp_path / name).touch()
    run = opened(tmp_path, path)
    after = copied(run, {("a.jpg", "cat"): 0, ("b.jpg", "dog"): 1}, tmp_path / "new.csv").split("\n")
    assert after[1:3] == ["a.jpg,no,1.0", "b.jpg,no,1.0"]
    assert after[3:] == rows[2:]


def test_a_row_per_label_is_removed_and_added(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "path,label,split,box\na.jpg,cat,train,1\na.jpg,dog,train,2\nb.jpg,dog,train,3\nc.jpg,cat,train,4\nc.jpg,owl,train,5\nd.jpg,owl,train,6\n"
    )
    for name in "abcd":
        (tmp_path / f"{name}.jpg").touch()
    run = opened(tmp_path, path)
    edits: Edit = {("a.jpg", "cat"): 0, ("c.jpg", "cat"): 0, ("c.jpg", "owl"): 0, ("c.jpg", "dog"): 1}
    after = copied(run, edits, tmp_path / "new.csv")
    assert after == "path,label,split,box\na.jpg,dog,train,2\nb.jpg,dog,train,3\nc.jpg,dog,train,5\nd.jpg,owl,train,6\n"
    copied(run, edits, tmp_path / "new.csv", marked=True)
    frame = pd.read_csv(tmp_path / "new.csv", keep_default_na=False)
    assert [json.loads(cell) if cell else {} for cell in frame["reviewed"]] == [
        {"cat": "removed"},
        {},
        {"cat": "removed", "owl": "removed", "dog": "added"},
        {},
    ]
    emptied: Edit = {("c.jpg", "cat"): 0, ("c.jpg", "owl"): 0}
    assert "c.jpg,,train,4\n" in copied(run, emptied, tmp_path / "new.csv")


def test_numbers_that_count_classes_and_the_word_for_none(tmp_path: Path) -> None:
    for name, _ in ROWS:
        (tmp_path / name).touch()
    path = tmp_path / "labels.csv"
    number = {"cat": "0", "dog": "1", "owl": "2"}
    path.write_text(table(lambda names: ";".join(number[name] for name in names)))
    run = opened(tmp_path, path, "data.classes=cat,dog,owl")
    after = copied(run, EDITS, tmp_path / "new.csv").split("\n")
    assert [line.split(",")[1] for line in after[1:6]] == ["1;2", "2;1", "", "", "0;2"]
    path.write_text(table(lambda names: ";".join(names) or "nothing"))
    run = opened(tmp_path, path, "data.no_label=nothing")
    after = copied(run, {("c.jpg", "dog"): 0, ("d.jpg", "cat"): 1}, tmp_path / "new.csv").split("\n")
    assert [line.split(",")[1] for line in after[3:5]] == ["nothing", "cat"]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("form", ["lists", "texts", "columns"])
def test_jsonl_and_parquet(suffix: str, form: str, tmp_path: Path) -> None:
    for name, _ in ROWS:
        (tmp_path / name).touch()
    labels: dict[str, Any] = {
        "lists": {"labels": [names for _, names in ROWS]},
        "texts": {"labels": [";".join(names) for _, names in ROWS]},
        "columns": {name: [int(name in names) for _, names in ROWS] for name in ("cat", "dog", "owl")},
    }[form]
    frame = pd.DataFrame({"path": [name for name, _ in ROWS], "n": range(5), **labels})
    path = tmp_path / f"labels{suffix}"
    if suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path, index=False)
    run = opened(tmp_path, path)
    output = tmp_path / f"new{suffix}"
    write_copy(run, changed(run, EDITS), output, marked=False)
    if suffix == ".jsonl":
        old, new = path.read_text().splitlines(), output.read_text().splitlines()
        assert [a == b for a, b in zip(old, new, strict=True)] == [False, False, False, True, True]
    else:
        old, new = pd.read_parquet(path), pd.read_parquet(output)
        assert list(new.columns) == list(frame.columns)
        pd.testing.assert_frame_equal(old.iloc[3:], new.iloc[3:])
        assert old.dtypes.equals(new.dtypes)
    write_copy(run, changed(run, EDITS), output, marked=True)
    back = opened(tmp_path, output).manifest.frame
    assert back["labels"].map(sorted).tolist() == [["dog", "owl"], ["dog", "owl"], [], [], ["cat", "owl"]]
    assert back["reviewed"].map(len).tolist() == [2, 1, 1, 0, 0]


def test_features_keep_their_numbers(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "set.npz", note=np.array("mine"), split=None)
    run = opened(tmp_path, path, "data.source=features")
    edits = {("row-0003", "warm"): 1 - int("warm" in run.manifest.frame["labels"][3]), ("row-0004", "loud"): 0}
    write_copy(run, changed(run, edits), tmp_path / "new.npz", marked=True)
    with np.load(path) as old, np.load(tmp_path / "new.npz") as new:
        for name in ("X", "ids", "classes", "note"):
            np.testing.assert_array_equal(old[name], new[name])
        assert (old["Y"] != new["Y"]).sum() in (1, 2)
        assert np.count_nonzero(new["reviewed"]) == 2
        assert set(new["split"]) == {"train", "val", "test"}
    write_copy(run, changed(run, edits), tmp_path / "again.npz", marked=True)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "new.npz").read_bytes()


def test_coco_keeps_every_entry(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    text = (
        '{"info": {"x": 1.50},\n "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30},\n  '
        '{"id":2,"file_name":"b.jpg"}],\n"annotations": [\n {"id": 7, "image_id": 1, "category_id": 3, "area": 1.10},\n'
        ' {"id": 8, "image_id": 2, "category_id": 4}\n], "categories": [{"id": 3, "name": "cat"}, '
        '{"id": 4, "name": "dog"}]}\n'
    )
    (tmp_path / "c.json").write_text(text)
    run = opened(tmp_path, tmp_path / "c.json", "data.source=coco", "data.splits=train=c")
    after = copied(run, {("1", "dog"): 1}, tmp_path / "new.json")
    added = '{"id": 9, "image_id": 1, "category_id": 4, "iscrowd": 0, "bbox": [0, 0, 40, 30], "area": 1200}'
    assert after.replace(f",\n {added}", "") == text
    assert copied(run, {}, tmp_path / "new.json") == text
    marked = copied(run, {("2", "dog"): 0, ("2", "cat"): 1}, tmp_path / "new.json", marked=True)
    content = json.loads(marked)
    assert content["images"][1]["reviewed"] == {"dog": "removed", "cat": "added"}
    assert {(own["image_id"], own["category_id"]) for own in content["annotations"]} == {(1, 3), (2, 3)}


def coco_part(folder: Path, name: str, images: list[str]) -> str:
    """The text of `instances_NAME.json`: image number n shows a cat; the categories are cat and dog."""
    for image in images:
        (folder / name).mkdir(exist_ok=True)
        (folder / name / image).touch()
    entries = ",\n".join(
        f'{{"id": {n}, "file_name": "{image}", "width": 4, "height": 3}}' for n, image in enumerate(images)
    )
    boxes = ",\n".join(f'{{"id": {n}, "image_id": {n}, "category_id": 3}}' for n in range(len(images)))
    text = (
        f'{{"images": [{entries}],\n"annotations": [{boxes}],\n'
        '"categories": [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}]}\n'
    )
    path = folder / "annotations" / f"instances_{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return text


@pytest.mark.parametrize("again", [False, True], ids=["ids that run on", "ids that start again"])
def test_a_coco_folder_is_a_folder_again(tmp_path: Path, again: bool) -> None:
    before = {
        "train2017": coco_part(tmp_path, "train2017", ["a.jpg", "b.jpg"]),
        "val2017": coco_part(tmp_path, "val2017", ["c.jpg", "d.jpg"]),
    }
    if not again:
        before["val2017"] = before["val2017"].replace('id": 0', 'id": 8').replace('id": 1', 'id": 9')
        (tmp_path / "annotations/instances_val2017.json").write_text(before["val2017"])
    (tmp_path / "annotations/captions_train2017.json").write_text("{}")
    run = opened(tmp_path, tmp_path / "annotations", "data.source=coco", "evaluate.split=val")
    first, last = ("train2017/0", "val2017/1") if again else ("0", "9")
    output = tmp_path / "new"
    write_copy(run, changed(run, {(first, "dog"): 1, (last, "cat"): 0}), output, marked=True)
    assert sorted(path.name for path in output.iterdir()) == ["instances_train2017.json", "instances_val2017.json"]
    read = SOURCES["coco"].read(run.params.data.model_copy(update={"path": str(output)}), None)
    rows = read.frame.set_index("id")
    assert rows["labels"].map(list).to_dict()[first] == ["cat", "dog"]
    assert rows["labels"].map(list).to_dict()[last] == []
    assert rows["reviewed"].map(list).to_dict()[first] == ["dog"]
    assert (rows["split"] == run.manifest.frame.set_index("id")["split"]).all()
    plain = tmp_path / "plain"
    write_copy(run, changed(run, {}), plain, marked=False)
    assert {part: (plain / f"instances_{part}.json").read_text() for part in before} == before
    with pytest.raises(InputError, match=r"new is there already(.|\n)*name another"):
        write_copy(run, changed(run, {}), output, marked=False)
    with pytest.raises(InputError, match=r"new\.json(.|\n)*a new folder, as .*annotations is one"):
        write_copy(run, changed(run, {}), tmp_path / "new.json", marked=False)
    assert not list(tmp_path.glob(".bmix-*"))


def test_a_category_that_one_file_lacks_is_refused(tmp_path: Path) -> None:
    coco_part(tmp_path, "train2017", ["a.jpg"])
    text = (
        coco_part(tmp_path, "val2017", ["c.jpg"]).replace(', {"id": 4, "name": "dog"}', "").replace('id": 0', 'id": 8')
    )
    (tmp_path / "annotations/instances_val2017.json").write_text(text)
    run = opened(tmp_path, tmp_path / "annotations", "data.source=coco", "data.classes=cat,dog", "evaluate.split=val")
    with pytest.raises(InputError, match=r'instances_val2017.json(.|\n)*has no category "dog"'):
        write_copy(run, changed(run, {("8", "dog"): 1}), tmp_path / "new", marked=False)
    assert not (tmp_path / "new").exists()


def test_a_form_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    for name, _ in ROWS:
        (tmp_path / name).touch()
    path = tmp_path / "labels.csv"
    path.write_text(table(lambda names: " ".join(str(int(name in names)) for name in ("cat", "dog", "owl"))))
    run = opened(tmp_path, path, "data.classes=cat,dog,owl")
    with pytest.raises(InputError):
        write_copy(run, changed(run, EDITS), tmp_path / "new.csv", marked=False)
    assert not (tmp_path / "new.csv").exists()
    assert not list(tmp_path.glob(".bmix-*"))
    with pytest.raises(InputError, match=r"ends in \.csv"):
        write_copy(run, changed(run, {}), tmp_path / "new.parquet", marked=False)


def test_spans_are_those_of_the_reader() -> None:
    text = 'a,"b, ""c""",,"d"'
    spans = cell_spans(text, ",")
    assert [csv_cell(text[start:end], ",") for start, end in spans] == ["a", 'b, "c"', "", "d"]
