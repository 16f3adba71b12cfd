"""One image explained: as text and as a page of its own, with names that are markup."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bmix.cli import labels as command
from bmix.labels.explain import explain
from bmix.labels.scored import read_scored
from bmix.labels.worst import worst_labels
from bmix.support.errors import InputError
from bmix.training.verdict_history import VERDICT_HISTORY, WORDS, VerdictHistory
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


def test_the_verdicts_of_every_epoch_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = write_audited(tmp_path, pictures=2)
    assert explain(run, "i1").epochs == []
    history, codes_NK = VerdictHistory(), np.zeros(SPOILT.given.shape, np.uint8)
    for epoch, word in ((6, "ambiguous"), (7, "relabelled to 0"), (8, "relabelled to 1")):
        codes_NK = codes_NK.copy()
        codes_NK[1, 2] = WORDS.index(word)
        history.add(epoch, codes_NK)
    path = tmp_path / VERDICT_HISTORY
    history.write(path, run.manifest.ids("train"), CLASSES, SPOILT.given)
    found = explain(run, "i1")
    assert found.epochs == [6, 7, 8]
    assert [own.word for own in found.history["dog"]] == ["clean"] * 3
    head, *rows = [line for line in found.text().splitlines() if "  " in line]
    assert head.endswith("epochs 6-8")
    assert sorted(row.split()[-1] for row in rows[:3]) == sorted(["...", "...", "?-+"])
    assert next(row for row in rows if row.startswith("<b>owl</b>")).endswith("?-+")
    assert (
        "Verdicts in the steps of each epoch: . clean, - relabelled to 0, + relabelled to 1, ? ambiguous."
        in found.notes
    )
    page = found.page()
    assert '<i class="relabelled" title="epoch 8: relabelled to 1">+</i>' in page
    assert page.count('class="clean" title="epoch 6: clean"') == 2
    history.write(path, ["other"] * len(SPOILT.given), CLASSES, SPOILT.given)
    assert [own.word for own in explain(run, "i1").history[CLASSES[2]]] == ["clean"] * 3
    path.write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"verdict_history.parquet: not readable"):
        explain(run, "i1")
