from __future__ import annotations

import json
from pathlib import Path

import pytest

from bmix.sources.class_list import class_list
from bmix.support.errors import InputError


def refusal(classes: str, root: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        class_list(classes, root)
    return caught.value


def names(classes: str, root: Path, look: bool = True) -> list[str] | None:
    found = class_list(classes, root, look)
    return None if found is None else found.names


def test_names_are_listed_in_the_params_or_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert class_list("auto", tmp_path) is None
    assert names("dog, cat", tmp_path) == ["dog", "cat"]
    (tmp_path / "classes.txt").write_text("\ufeffdog\n\ncat \n")
    assert names("auto", tmp_path) == ["dog", "cat"]
    assert names("auto", tmp_path, look=False) is None
    assert class_list("auto", tmp_path).note == "from classes.txt"  # type: ignore[union-attr]
    (tmp_path / "mine.json").write_text(json.dumps(["owl", "a, b"]))
    assert names("mine.json", tmp_path) == ["owl", "a, b"]
    monkeypatch.chdir(tmp_path.parent)
    assert names(f"{tmp_path.name}/classes.txt", tmp_path) == ["dog", "cat"]


def test_a_file_must_be_in_the_folder_that_is_watched(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "names.txt").write_text("cat\n")
    error = refusal(str(tmp_path / "names.txt"), tmp_path / "root")
    assert error.found == f"{tmp_path}/names.txt is not in {tmp_path}/root"
    assert refusal("none.txt", tmp_path).found == "none.txt is not a file"


@pytest.mark.parametrize(
    ("text", "where", "found"),
    [
        ("dog\ncat\ndog\n", "classes.txt, line 3", '"dog" is duplicated, first in line 1'),
        ("\n \n", "classes.txt", "no class"),
        (b"d\xffg\n", "classes.txt", "not readable: "),
    ],
)
def test_a_file_that_lists_no_classes_is_refused(tmp_path: Path, text: str | bytes, where: str, found: str) -> None:
    (tmp_path / "classes.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    error = refusal("auto", tmp_path)
    assert error.where == f"{tmp_path}/{where}"
    assert error.found.startswith(found)


@pytest.mark.parametrize("content", ["{", "{}", "[1]", '[""]', "[" * 100_000])
def test_json_that_is_no_list_of_names_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "mine.json").write_text(content)
    assert refusal("mine.json", tmp_path).where == f"{tmp_path}/mine.json"


def test_names_in_the_params_are_distinct_and_not_empty(tmp_path: Path) -> None:
    assert refusal("cat,dog,cat", tmp_path).found == '"cat" is duplicated, first in name 1'
    assert refusal("cat,,dog", tmp_path).where == "data.classes"
