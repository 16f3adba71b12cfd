"""Loader processes: whatever the system refuses them, the views arrive in order, or the run ends in words."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bmix.support.errors import InputError
from bmix.training import loading
from bmix.training.handover import Copied, handed_over
from bmix.training.loading import load, worker_count
from bmix.training.steps import SideViews, StepViews
from tests.helpers.tiny import REPOSITORY


def step(number: int) -> StepViews:
    side = SideViews(torch.tensor([number]), torch.full((2, 3), number, dtype=torch.uint8), torch.empty(0).long(), None)
    return StepViews(side, None, torch.tensor([0.5 + number]), torch.tensor([number]), 0.25)


class Steps:
    """Ten steps; `meet` is called in the loader process before each is made."""

    def __init__(self, meet: Any = lambda number: None) -> None:
        self.meet = meet

    def __len__(self) -> int:
        return 10

    def __getitem__(self, number: int) -> StepViews:
        self.meet(number)
        return step(number)


def numbers(views: Any) -> list[float]:
    return [float(view.coefficient) for view in views]


def refuse_room(*_arguments: object) -> None:
    raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")


def same(first: StepViews, second: StepViews) -> bool:
    pairs = [(first.random.rows, second.random.rows), (first.random.train, second.random.train)]
    return all(torch.equal(*pair) for pair in pairs) and first.share == second.share and second.partner is None


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_items_come_whole_and_in_order(workers: int) -> None:
    found = list(load(Steps(), workers))
    assert all(same(step(number), item) for number, item in enumerate(found))
    assert len(found) == 10


def test_an_item_is_put_together_again_without_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse_room)
    copied = handed_over(step(3))
    assert isinstance(copied, Copied)
    assert [array.dtype for array in copied.arrays] == [np.int64, np.uint8, np.int64, np.float32, np.int64]
    assert same(step(3), copied.item(pin=False))


def test_without_room_in_shared_memory_items_come_through_pipes_and_that_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loading, "_warned", set())
    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse_room)
    for _ in range(2):
        assert numbers(load(Steps(), 2)) == [0.5 + number for number in range(10)]
    told = capsys.readouterr().err
    assert told.count("warning: /dev/shm has no room") == 1
    assert "docker run --shm-size=8g" in told


def test_where_no_lock_can_be_made_this_process_makes_the_items(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Context:
        def Lock(self) -> None:  # noqa: N802
            raise OSError(30, "Read-only file system")

    monkeypatch.setattr(loading, "_warned", set())
    monkeypatch.setattr(loading.multiprocessing, "get_context", Context)
    assert len(numbers(load(Steps(), 2))) == 10
    assert "/dev/shm cannot be used (Read-only file system)" in capsys.readouterr().err


def kill_at_four(number: int) -> None:
    if number == 4:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_loader_process_that_is_killed_ends_the_run_in_words() -> None:
    with pytest.raises(ChildProcessError) as caught:
        numbers(load(Steps(kill_at_four), 2))
    assert caught.value.strerror.startswith("a loader process ended: ")
    assert "fix: set BMIX_WORKERS lower" in caught.value.strerror


def wait_at_four(number: int) -> None:
    while number == 4:
        time.sleep(0.1)


def test_a_loader_process_that_is_stuck_ends_the_run_in_words() -> None:
    found: list[float] = []
    with pytest.raises(TimeoutError) as caught:
        found.extend(float(view.coefficient) for view in load(Steps(wait_at_four), 2, patience=5))
    assert "gave nothing for 5 seconds" in caught.value.strerror
    assert "set BMIX_WORKERS lower, or 0 for none" in caught.value.strerror


def refuse_four(number: int) -> None:
    if number == 4:
        raise InputError("picture.jpg", "half a picture", "a whole one", "copy it again")


@pytest.mark.parametrize("workers", [0, 2])
def test_wrong_input_is_the_same_error_from_a_loader_process(workers: int) -> None:
    with pytest.raises(InputError) as caught:
        list(load(Steps(refuse_four), workers))
    assert caught.value.remedy == "copy it again"


def fail_at_four(number: int) -> None:
    if number == 4:
        raise RuntimeError("ours")


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="ours"):
        list(load(Steps(fail_at_four), 2))


def test_a_death_outside_of_the_wait_raises_at_the_next_wait_alone(tmp_path: Path) -> None:
    gate = tmp_path / "open"

    def die_at_the_gate(number: int) -> None:
        if number == 6:
            while not gate.exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

    items = load(Steps(die_at_the_gate), 2)
    taken = [next(items) for _ in range(3)]
    gate.touch()
    # torch's handler of SIGCHLD would raise somewhere in here.
    while len(multiprocessing.active_children()) == 2:
        time.sleep(0.01)
    assert len(taken) == 3
    with pytest.raises(ChildProcessError):
        list(items)


@pytest.mark.parametrize("text", ["many", "-1", "1.5", "257", "9" * 5000])
def test_a_number_of_processes_that_makes_no_sense_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMIX_WORKERS", text)
    with pytest.raises(InputError, match="a whole number from 0 to 256") as caught:
        worker_count(None, None)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200


TINY = """
import sys
from tests.training.test_loading import Steps, load
import torch, tests.training.test_loading as here

small = here.step
here.step = lambda number: small(number).__class__(
    here.SideViews(torch.tensor([number]), torch.full((300, 300), number), torch.empty(0).long(), None),
    None, torch.tensor([0.5 + number]), torch.tensor([number]), 0.25)
print(here.numbers(load(Steps(), 2)))
"""


def can_mount() -> bool:
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode
    )


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount")
@pytest.mark.parametrize("options", ["size=64k", "size=64k,ro"])
def test_a_tiny_or_locked_shm_hangs_nothing(options: str) -> None:
    mount = f'mount -t tmpfs -o {options} tmpfs /dev/shm && exec "$0" -c "$1"'
    command = ["unshare", "-m", "sh", "-c", mount, sys.executable, TINY]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=1800)
    assert ended.stdout == f"{[0.5 + number for number in range(10)]}\n", ended.stderr
    assert ended.stderr.count("warning: /dev/shm") == 1
    assert "Traceback" not in ended.stderr
