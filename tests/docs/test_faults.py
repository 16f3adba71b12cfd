"""docs/inputs.md shows what each fault of a table prints; this makes the faults and compares."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bmix.pipeline.checks import check_inputs, edited_params
from bmix.support.errors import InputError
from tests.helpers.tiny import REPOSITORY, write_params, write_table

PAGE = (REPOSITORY / "docs/inputs.md").read_text(encoding="utf-8")
_LISTING = PAGE.partition("### Tables\n")[2].partition("```text\n")[2].partition("```")[0]
SHOWN = dict(re.findall(r"^# (.+)\n((?:.+\n)+)", _LISTING, re.MULTILINE))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with params, and in `my` a sound table and its images."""
    folder = tmp_path_factory.mktemp("faults")
    write_params(folder, "noise.kind=none")
    shutil.copytree(REPOSITORY / "data/noise", folder / "data/noise")
    write_table(folder / "my")
    return folder


def faults(sound: str) -> Iterator[tuple[str, str | bytes, list[str]]]:
    """What the page calls each fault, the table that has it, and the params beside."""
    lines = sound.splitlines()
    rows = [line.split(",") for line in lines[1:]]

    def tenth(old: str, new: str) -> str:
        return "\n".join(line.replace(old, new) if number == 9 else line for number, line in enumerate(lines))

    def labels(change: str) -> str:
        """The table with quotes around each name, or with the names as a list of Python."""
        written = {
            "quotes": lambda names: ";".join(f"'{name}'" for name in names),
            "list": lambda names: f'"{names}"',
        }[change]
        return "\n".join([lines[0], *(f"{path},{written(names.split(';'))},{split}" for path, names, split in rows)])

    binary = "\n".join(
        [
            "path,split,cat,dog",
            *(f"{path},{split},{i % 2},{int(i % 3 == 0)}" for i, (path, _, split) in enumerate(rows)),
        ]
    )
    third = binary.splitlines()[3]
    path, names, _ = rows[0]
    yield "Latin-1", sound.replace("bird", "bär", 1).encode("latin-1"), []
    yield "a row with too many cells", "\n".join([*lines[:2], lines[2].replace(";", ",") + ",x", *lines[3:]]), []
    yield "a column under no usual name", sound.replace("path", "wo", 1), []
    yield "a file of no bytes", "", []
    yield "no line of names", "\n".join(lines[1:]), []
    yield "a class only in the test split", tenth(",test", ";zebra,test"), []
    yield "a 0/1 column with another value", binary.replace(third, third.rsplit(",", 2)[0] + ",yes,1"), []
    yield "an unknown split", tenth(",test", ",tset"), []
    yield "an image twice, with other labels", f"{sound}{path},fish,train\n", []
    yield "an image in two splits", f"{sound}{path},{names},test\n", []
    yield "names joined by blanks", sound.replace(";", " "), []
    yield "two delimiters", sound.replace(";", "|", 1), []
    yield (
        "a 0 or 1 in each cell",
        "\n".join(["path,label", *(f"{path},{i % 2}" for i, (path, _, _) in enumerate(rows))]),
        [],
    )
    yield "quotes around the names", labels("quotes"), []
    yield (
        "a list whose comma is missing",
        labels("list").replace("', '", "' '", 1).replace("'bird' 'cat'", "'bird', 'cat' 'dog'", 1),
        [],
    )
    yield "1 and -1, and the params say ignored", binary.replace(",0", ",-1"), ["data.minus_one=ignored"]
    yield (
        "a test split without labels",
        "\n".join([lines[0], *(f"{p},{'' if split == 'test' else own},{split}" for p, own, split in rows)]),
        [],
    )
    yield "no finding, in words", sound.replace(",fish,", ",No Finding,"), ["data.classes=bird,cat,dog,fish"]
    yield (
        "two columns for the path",
        "\n".join(["file,image_path,labels", *(f"{path},x,{own}" for path, own, _ in rows)]),
        [],
    )
    yield "paths from the folder around", "\n".join([lines[0], *(f"images/{line}" for line in lines[1:])]), []
    objects = [json.dumps({"path": path, "labels": own.split(";"), "split": split}) for path, own, split in rows]
    objects[3] = objects[3][:-1]
    yield "a line of JSONL that is cut off", "\n".join(objects), ["data.path=my/labels.jsonl"]


def test_every_fault_prints_what_the_page_shows(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    sound = Path("my/labels.csv").read_text(encoding="utf-8")
    made = []
    try:
        for name, table, edits in faults(sound):
            file = Path("my/labels.jsonl" if edits == ["data.path=my/labels.jsonl"] else "my/labels.csv")
            file.write_bytes(table if isinstance(table, bytes) else table.encode())
            places = ["data.source=table", "data.path=my/labels.csv", "data.root=my/images"]
            made.append((name, _said(lambda edits=[*places, *edits]: check_inputs(edited_params(edits)[1]))))
    finally:
        Path("my/labels.csv").write_text(sound, encoding="utf-8")
    assert made == list(SHOWN.items())


def _said(check: Callable[[], object]) -> str:
    try:
        return f"{check()}"
    except InputError as error:
        return f"error: {error}\n"
