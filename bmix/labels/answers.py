"""What people answered about doubted labels: a file that only grows, a line for each answer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bmix.support.errors import InputError, nearest, quoted
from bmix.support.spreadsheet import unguarded

ACCEPT, REJECT, OTHER, SKIP, UNDO = "accept", "reject", "other", "skip", "undo"
ANSWERS = (ACCEPT, REJECT, OTHER, SKIP, UNDO)
VALUES = {"present": 1, "1": 1, "1.0": 1, "absent": 0, "0": 0, "0.0": 0}
"""What else a cell of the column answer may say: the right value itself."""
_EXAMPLE = "a table with the columns id, class and answer, or what bmix labels review wrote"


@dataclass(frozen=True)
class Answer:
    """What somebody said of one label.

    cells: the right value, 1 or 0, of every class that was answered with it; empty for SKIP, and for UNDO, which takes
    back that reviewer's last answer about the label. at: when, ISO 8601 in UTC; empty in a table.
    """

    id: str
    class_name: str
    answer: str
    cells: Mapping[str, int] = field(default_factory=dict)
    reviewer: str = ""
    at: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The label that was asked about."""
        return self.id, self.class_name


def append_answer(path: Path, answer: Answer) -> None:
    """Add a line; it is on the disk when this returns."""
    line = (json.dumps(asdict(answer), ensure_ascii=False) + "\n").encode()
    with path.open("ab") as file:
        # A line that a crash cut off must not swallow this one.
        if file.tell() and not _ends_a_line(path):
            line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def standing(answers: Iterable[Answer]) -> list[Answer]:
    """The answers that hold, a later one about a label in the place of an earlier one; what was taken back is gone."""
    held: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        given = held.setdefault(answer.key, [])
        if answer.answer == UNDO:
            last = next((i for i in reversed(range(len(given))) if given[i].reviewer == answer.reviewer), None)
            if last is not None:
                given.pop(last)
        else:
            given.append(answer)
    order = {key: position for position, key in enumerate(held)}
    return [held[key][-1] for key in sorted(order, key=order.__getitem__) if held[key]]


def read_answers(path: Path, classes: list[str], labels_of: Mapping[str, Iterable[str]]) -> list[Answer]:
    """All answers in a file, in its order: .jsonl as the review page writes it, or a .csv that somebody filled in.

    The CSV has the columns `id`, `class` and `answer`: accept (the label is wrong; the class in `instead`, if there is
    one, belongs there), reject (it is right), present, absent, skip or nothing, or other, with all right labels of the
    image in a column `other`, joined by `;`. labels_of: the given labels of every image, by id.
    InputError, with the line, for a file that is none of this, an unknown id or class, and another answer.
    """
    if not path.is_file():
        raise InputError(str(path), "no such file", _EXAMPLE, "correct the name")
    read = _read_jsonl if path.suffix.lower() in (".jsonl", ".ndjson") else _read_csv
    answers = []
    for where, answer in read(path, labels_of):
        if answer.id not in labels_of:
            raise InputError(where, f'no image "{answer.id}"', "an id of the run", "take the file of this run")
        for name in (answer.class_name, *answer.cells):
            if name not in classes:
                raise InputError(where, f'no class "{name}"', quoted(classes), f"correct it.{nearest(name, classes)}")
        answers.append(answer)
    return answers


def _read_jsonl(path: Path, _labels_of: object) -> Iterable[tuple[str, Answer]]:
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            answer = Answer(**json.loads(line))
            fits = answer.answer in ANSWERS and all(value in (0, 1) for value in answer.cells.values())
        except (ValueError, TypeError, AttributeError) as error:
            # The last line of a writer that was killed.
            if number == len(lines):
                return
            raise InputError(where, f"not an answer: {error}", _EXAMPLE, "remove the line") from error
        if not fits:
            raise InputError(where, f"answer {answer.answer!r}", f"one of {', '.join(ANSWERS)}", "correct the line")
        yield where, answer


def _read_csv(path: Path, labels_of: Mapping[str, Iterable[str]]) -> Iterable[tuple[str, Answer]]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise InputError(str(path), f"not readable: {error}", _EXAMPLE, "save it as CSV in UTF-8") from error
    if missing := [name for name in ("id", "class", "answer") if name not in table]:
        raise InputError(str(path), f"no column {quoted(missing)}", _EXAMPLE, "add it")
    for row, cells in enumerate(table.to_dict("records"), 1):
        where = f"{path}, row {row}"
        text = {str(name): unguarded(str(cell).strip()) for name, cell in cells.items()}
        word = text["answer"].lower()
        if word in ("", SKIP):
            continue
        given = set(labels_of.get(text["id"], ()))
        yield where, Answer(text["id"], text["class"], _kind(word), _cells(word, text, given, where))


def _kind(word: str) -> str:
    return word if word in (ACCEPT, REJECT) else OTHER


def _cells(word: str, text: Mapping[str, Any], given: set[str], where: str) -> dict[str, int]:
    name = text["class"]
    value = int(name in given)
    if word == ACCEPT:
        return accepted(name, value, text.get("instead", ""))
    if word == REJECT:
        return {name: value}
    if word in VALUES:
        return {name: VALUES[word]}
    if word == OTHER:
        return all_labels(name, given, [part.strip() for part in text.get("other", "").split(";") if part.strip()])
    expected = f"accept, reject, {', '.join(VALUES)}, other, skip or nothing"
    raise InputError(where, f'answer "{text["answer"]}"', expected, "correct it")


def accepted(class_name: str, given: int, instead: str) -> dict[str, int]:
    """The right values where the suggestion is right: the other value, and the class that belongs there instead."""
    return {class_name: 1 - given} | ({instead: 1} if instead else {})


def all_labels(class_name: str, given: Iterable[str], right: Iterable[str]) -> dict[str, int]:
    """The right values where somebody said which labels the image has: of the class asked about, and all that were
    given or are right."""
    right = set(right)
    return {name: int(name in right) for name in sorted({class_name, *given, *right})}
