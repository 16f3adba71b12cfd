"""One image explained: as text and as a page of its own, with names that are markup."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmix.cli import labels as command
from bmix.labels.explain import explain
from bmix.labels.scored import read_scored
from bmix.labels.worst import worst_labels
from bmix.support.errors import InputError
from tests.helpers.labelled import CLASSES, SPOILT, write_audited


def test_one_image_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = write_audited(tmp_path, pictures=400, reviewed={0: ["dog"]})
    doubted = worst_labels(run, read_scored(run), 1).iloc[0]
    found = explain(run, doubted["id"])
    assert next(line["class"] for line in found.lines) == doubted["class"]
    assert {line["class"] for line in found.lines} == set(CLASSES)
    row = int(doubted["id"][1:])
    assert found.true == [CLASSES[k] for k in range(3) if SPOILT.true[row, k]]
    page = found.page()
    assert "<b>owl</b>" not in page
    assert "&lt;b&gt;owl&lt;/b&gt;" in page
    assert "data:image/jpeg;base64," in page
    assert "http" not in page
    command.explain(doubted["id"], output=Path("one.html"))
    shown = capsys.readouterr().out
    assert f"{doubted['class']}: {doubted['why']}" in shown
    assert Path("one.html").read_text() == page
    assert next(line for line in explain(run, "i0").lines if line["class"] == "dog")["verdict"] == "reviewed"
    with pytest.raises(InputError, match='no image "i4000"'):
        explain(run, "i4000")
