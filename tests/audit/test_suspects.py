"""The list of labels to look at: its order, its choices, and what it says where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bmix.audit.arrays import audit_labels
from bmix.audit.files import AuditedSplit, write_audit
from bmix.audit.suspects import COLUMNS, suspects
from bmix.cli import labels as command
from bmix.data.manifest import Manifest, label_lists, write_manifest
from bmix.support.errors import InputError
from bmix.support.spreadsheet import read_named_csv
from tests.helpers.spoilt import spoilt_labels
from tests.helpers.tiny import write_params

SPOILT = spoilt_labels(rows=400, classes=3)
CLASSES = ["=cat", "dog", "owl"]


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    ids = [f"i{row}" for row in range(400)]
    frame = pd.DataFrame({"id": ids, "path": [f"{name}.png" for name in ids], "split": "train", "digest": "0"})
    frame["labels"] = label_lists(SPOILT.given, CLASSES)
    frame["ignore"] = [[] for _ in ids]
    manifest = Manifest(frame[["id", "path", "split", "labels", "ignore", "digest"]], CLASSES)
    write_manifest(manifest, Path("data/prepared"))
    audit = audit_labels(SPOILT.features, SPOILT.given, class_names=CLASSES)
    Path("data/audit").mkdir(parents=True)
    write_audit(Path("data/audit"), "source", CLASSES, {"train": AuditedSplit(ids, SPOILT.given, audit)})
    return manifest


def test_the_first_are_wrong_and_the_suggestion_is_the_truth(audited: Manifest) -> None:
    found = suspects(Path("data/audit"), audited, 20)
    assert list(found.columns) == COLUMNS
    assert found["quality"].is_monotonic_increasing
    rows = found["id"].str[1:].astype(int)
    true = SPOILT.true[rows, [CLASSES.index(name) for name in found["class"]]]
    assert (true != found["given"]).mean() >= 0.9
    assert (true == found["suggested"]).mean() >= 0.9
    assert found["file"].tolist() == [f"{name}.png" for name in found["id"]]
    given = [";".join(np.array(CLASSES)[SPOILT.given[row] == 1]) for row in rows]
    assert found["labels"].tolist() == given


def test_a_class_and_a_value_can_be_chosen(audited: Manifest) -> None:
    found = suspects(Path("data/audit"), audited, 10, class_name="dog", value="present")
    assert set(found["class"]) == {"dog"}
    assert set(found["given"]) == {1}
    assert set(suspects(Path("data/audit"), audited, 10, value="absent")["given"]) == {0}


def test_the_command_writes_names_that_no_spreadsheet_runs(
    audited: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    command.suspects(count=5, class_name="=cat", output=Path("look.csv"))
    assert "'=cat" in Path("look.csv").read_text()
    assert set(read_named_csv(Path("look.csv"), ("id", "file", "class", "labels"))["class"]) == {"=cat"}
    shown = capsys.readouterr().out
    assert "p_wrong" in shown
    assert "5 labels written to look.csv" in shown


def test_what_is_not_there_is_told(audited: Manifest) -> None:
    folder = Path("data/audit")
    with pytest.raises(InputError, match="one of train"):
        suspects(folder, audited, 5, split="val")
    with pytest.raises(InputError, match='"dog"'):
        suspects(folder, audited, 5, class_name="dgo")
    write_audit(folder, "off", CLASSES, {})
    with pytest.raises(InputError, match="nothing was audited"):
        suspects(folder, audited, 5)
    (folder / "label_quality.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="not readable"):
        suspects(folder, audited, 5)
    (folder / "label_quality.parquet").unlink()
    with pytest.raises(InputError, match="dvc repro audit"):
        suspects(folder, audited, 5)
