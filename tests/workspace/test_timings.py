"""What a stage leaves beside its outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bmix.support.errors import InputError
from bmix.workspace.timings import can_pass_on_second_try, failure_noted, note_epochs, read_timing, stage_timing
from tests.helpers.tracked import write_lock, write_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_project(tmp_path)


def test_timing_belongs_to_the_run_that_made_the_outputs(project: Path) -> None:
    with stage_timing("train"):
        note_epochs("train", [1.0, 2.0])
    timing = read_timing("train")
    assert timing is not None
    assert (timing["status"], timing["epochs"]) == ("finished", [1.0, 2.0])
    write_lock(project, train=1)
    assert read_timing("train") is not None
    write_lock(project, noise=1)
    assert read_timing("train") is None


@pytest.mark.parametrize(
    ("error", "retry", "message"),
    [
        (InputError("a", "b", "c", "d"), False, "a: b\n  expected: c\n  fix: d"),
        (OSError(28, "No space left on device"), True, "OSError: [Errno 28] No space left on device"),
        (RuntimeError("CUDA error"), True, "RuntimeError: CUDA error"),
        (KeyError("x"), False, "KeyError: 'x'"),
        (KeyboardInterrupt(), False, "interrupted"),
    ],
)
def test_failure_says_whether_to_try_again(project: Path, error: BaseException, retry: bool, message: str) -> None:
    with pytest.raises(type(error)), stage_timing("noise"):
        raise error
    failure = Path(".bmix/failures/noise.json")
    assert json.loads(failure.read_text()) == {"stage": "noise", "message": message, "retry": retry}
    assert read_timing("noise") is None
    with stage_timing("noise"):
        assert not failure.exists()
    assert not failure.exists()


@pytest.mark.parametrize(
    ("error", "retry"),
    [(MemoryError(), True), (FileNotFoundError(), False), (ConnectionError(), True), (ValueError(), False)],
)
def test_what_can_pass_on_a_second_try(error: BaseException, retry: bool) -> None:
    assert can_pass_on_second_try(error) is retry


def test_the_first_of_several_failures_is_kept_unless_it_is_an_earlier_runs(project: Path) -> None:
    def fail(message: str, replace: bool = False) -> str:
        with pytest.raises(RuntimeError), failure_noted("train", replace):
            raise RuntimeError(message)
        return str(json.loads((project / ".bmix/failures/train.json").read_text())["message"])

    assert fail("of rank 1") == "RuntimeError: of rank 1"
    assert fail("of rank 0") == "RuntimeError: of rank 1"
    assert fail("of the next start", replace=True) == "RuntimeError: of the next start"
