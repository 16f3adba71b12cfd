"""What the audit says is read back, and refused where it is damaged or judges other labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bmix.audit.files import write_audit
from bmix.data.quality import ESTIMATE_FILE, QUALITY_FILE, read_quality
from bmix.support.errors import InputError
from tests.helpers.labelled import CLASSES, SPOILT, write_audited

FOLDER = Path("data/audit")


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.chdir(tmp_path)
    return write_audited(tmp_path).given("train")


def test_it_is_read_as_it_was_written(given: np.ndarray) -> None:
    found = read_quality(FOLDER, "train", given)
    assert found is not None
    assert (found.given_NK == SPOILT.given).all()
    assert list(found.classes) == CLASSES
    assert found.doubtable().all()
    assert ((found.p_wrong() > 0.5) == ((found.p_present_NK > 0.5) != (given == 1))).all()
    wrong = SPOILT.given != SPOILT.true
    assert found.p_wrong()[wrong].mean() > 0.5 > 0.1 > found.p_wrong()[~wrong].mean()
    assert found.quality_NK[wrong].mean() < 0 < found.quality_NK[~wrong].mean()
    assert read_quality(FOLDER, "val", given) is None


def test_without_an_audit_there_is_nothing(given: np.ndarray) -> None:
    write_audit(FOLDER, "off", CLASSES, {})
    assert read_quality(FOLDER, "train", given) is None


@pytest.mark.parametrize("fault", ["another value", "ignored since", "fewer", "no table", "no estimate", "no classes"])
def test_what_does_not_fit_is_refused(given: np.ndarray, fault: str) -> None:
    told = "judges other labels of split train than the run has"
    if fault == "another value":
        given[0, 0] = 1 - given[0, 0]
    elif fault == "ignored since":
        given[0, 0] = -1
    elif fault == "fewer":
        given = given[1:]
    else:
        told = "not readable"
        estimate = FOLDER / ESTIMATE_FILE
        if fault == "no table":
            (FOLDER / QUALITY_FILE).write_bytes(b"rubbish")
        elif fault == "no estimate":
            estimate.unlink()
        else:
            estimate.write_text(json.dumps({"features": "source", "splits": {"train": {}}}))
    with pytest.raises(InputError, match=rf"{told}(.|\n)*run the stage audit again: dvc repro audit"):
        read_quality(FOLDER, "train", given)
