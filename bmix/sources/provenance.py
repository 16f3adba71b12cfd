"""The note that `bmix labels apply` leaves beside a table: what a review changed in it, and in which run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bmix.support.readers import Made, read_object
from bmix.workspace.locked import file_digest

NOTE_SUFFIX = ".provenance.json"
BY = ("answer", "rule")
"""What decides about a label: somebody's answer, or a rule."""
DONE = ("added", "removed", "kept")
_MADE = Made("what bmix labels apply writes", "write the table again, or remove this note")
_CHANGE = {"class_name": str, "before": int, "after": int, "by": str}


def note_beside(path: Path) -> Path:
    """Where the note of a table lies."""
    return path.with_name(f"{path.name}{NOTE_SUFFIX}")


def table_digest(path: Path) -> str:
    """16 hex digits of the content of a table; of a folder of COCO's files, of them all in the order of their names."""
    return file_digest(*(sorted(path.rglob("*.json")) if path.is_dir() else [path]))


def read_review(path: Path) -> dict[str, Any] | None:
    """What a review made of the labels in the table at `path`, from the note beside it; None if there is no note.

    Keys: `run` that was reviewed, `from` (its file of labels) and `answers` (the file, or null) by name, `rule` (the
    probability above which labels were changed, by class, "" for all; or null), `fits`: whether the table is still what
    the note was written with, and `classes`: by class and BY how many labels were DONE. InputError for a note that is
    damaged.
    """
    if not path.exists():
        return None
    # In a copy of the project the table is a link, and the note lies beside what it leads to.
    note = note_beside(path.resolve())
    if not note.is_file():
        return None
    content = read_object(note, _RULES, _MADE)
    return {
        "run": content["run"]["name"],
        "from": Path(content["from"]["file"]).name,
        "answers": content["answers"] and content["answers"]["file"],
        "rule": content["rule"] and content["rule"]["accept_above"],
        "fits": content["written"]["digest"] == table_digest(path),
        "classes": _by_class(content["changes"]),
    }


def _by_class(changes: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, int]]]:
    found: dict[str, dict[str, dict[str, int]]] = {}
    for change in changes:
        own = found.setdefault(change["class_name"], {by: dict.fromkeys(DONE, 0) for by in BY})
        before, after = change["before"], change["after"]
        own[change["by"]]["added" if after > before else "removed" if after < before else "kept"] += 1
    return dict(sorted(found.items()))


def _holds(value: Any, **kinds: type) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), kind) for name, kind in kinds.items())


def _is_rule(value: Any) -> bool:
    return _holds(value, accept_above=dict) and all(type(p) in (int, float) for p in value["accept_above"].values())


def _is_change(value: Any) -> bool:
    return _holds(value, **_CHANGE) and value["by"] in BY and {value["before"], value["after"]} <= {0, 1}


_RULES = {
    "written": ("the file and its digest", lambda value: _holds(value, file=str, digest=str)),
    "from": ("the file that the labels came from", lambda value: _holds(value, file=str)),
    "run": ("the run", lambda value: _holds(value, name=str)),
    "answers": ("the file of answers, or null", lambda value: value is None or _holds(value, file=str)),
    "rule": ("the rule, or null", lambda value: value is None or _is_rule(value)),
    "changes": ("the labels", lambda value: isinstance(value, list) and all(map(_is_change, value))),
}
