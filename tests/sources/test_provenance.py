"""The note beside a corrected table: read as it was written, by way of a link too, and refused where it is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bmix.cli import labels as command
from bmix.sources.provenance import note_beside, read_review
from bmix.support.errors import InputError
from tests.helpers.labelled import SPOILT, write_audited

TABLE = Path("corrected.csv")


@pytest.fixture
def applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table that answers and a rule have corrected: two labels answered, one of them kept."""
    monkeypatch.chdir(tmp_path)
    write_audited(tmp_path, pictures=len(SPOILT.given))
    (tmp_path / "data/prepared/facts.json").write_text('{"notes": {}}')
    given = np.flatnonzero(SPOILT.given[:, 1])[:2]
    lines = [f"i{given[0]},dog,absent", f"i{given[1]},dog,present"]
    Path("answers.csv").write_text("\n".join(["id,class,answer", *lines]))
    command.apply(TABLE, Path("answers.csv"), accept_above=[("", 0.9)])
    return tmp_path


def test_it_says_what_was_changed_by_whom(applied: Path) -> None:
    found = read_review(TABLE)
    assert found is not None
    assert (found["run"], found["from"], found["answers"]) == (applied.name, "labels.csv", "answers.csv")
    assert (found["rule"], found["fits"]) == ({"": 0.9}, True)
    assert found["classes"]["dog"]["answer"] == {"added": 0, "removed": 1, "kept": 1}
    note = json.loads(note_beside(TABLE).read_text())
    by_rule = [change for change in note["changes"] if change["by"] == "rule"]
    assert len(by_rule) > 3
    counted = sum(own["rule"]["added"] + own["rule"]["removed"] for own in found["classes"].values())
    assert counted == len(by_rule)
    # As a copy of the project has it.
    link = Path("copy/corrected.csv")
    link.parent.mkdir()
    link.symlink_to(TABLE.resolve())
    assert read_review(link) == found
    TABLE.write_text(TABLE.read_text() + "\n")
    edited = read_review(TABLE)
    assert edited is not None
    assert not edited["fits"]


def test_without_a_note_there_is_no_review(applied: Path) -> None:
    assert read_review(Path("labels.csv")) is None
    assert read_review(Path("data")) is None
    TABLE.unlink()
    assert read_review(TABLE) is None


def _without(key: str, note: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in note.items() if name != key}


@pytest.mark.parametrize("fault", ["no json", "no run", "a bad change", "a bad rule"])
def test_a_damaged_note_is_refused_with_the_remedy(applied: Path, fault: str) -> None:
    path = note_beside(TABLE)
    note = json.loads(path.read_text())
    if fault == "no run":
        note = _without("run", note)
    elif fault == "a bad change":
        note["changes"][0]["after"] = 2
    elif fault == "a bad rule":
        note["rule"]["accept_above"] = {"": "much"}
    path.write_text("rubbish" if fault == "no json" else json.dumps(note))
    with pytest.raises(InputError, match=r"corrected.csv.provenance.json(.|\n)*write the table again, or remove this"):
        read_review(TABLE)
