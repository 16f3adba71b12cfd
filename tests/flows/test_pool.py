"""Waiting for a cell in a work pool: never without end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prefect.client.schemas.objects import WorkerStatus
from prefect.states import Completed, Crashed, Failed, Pending, Running

from bmix.pipeline.repro import PipelineError
from flows import pool


class Client:
    """A server's answer about the workers of a pool."""

    def __init__(self, *statuses: WorkerStatus) -> None:
        self.workers = [SimpleNamespace(status=status) for status in statuses]

    def read_workers_for_work_pool(self, _pool: str) -> list[Any]:
        return self.workers


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(pool.time, "monotonic", lambda: now.seconds)
    return now


def test_a_pool_without_workers_is_waited_for_ten_minutes(clock: SimpleNamespace) -> None:
    waiting = pool._Waiting("cells")
    nobody: Any = Client(WorkerStatus.OFFLINE)
    clock.seconds += 599
    assert not waiting.in_vain(nobody, Pending())
    clock.seconds += 2
    assert waiting.in_vain(nobody, Pending())
    somebody: Any = Client(WorkerStatus.OFFLINE, WorkerStatus.ONLINE)
    assert not waiting.in_vain(somebody, Pending())
    clock.seconds += 10_000
    assert not waiting.in_vain(nobody, Running())


def test_a_busy_server_is_asked_again_and_one_that_stays_away_is_an_error(clock: SimpleNamespace) -> None:
    waiting = pool._Waiting("cells")
    clock.seconds += 500
    with waiting.server_may_be_busy():
        raise httpx.ReadTimeout("busy")
    with waiting.server_may_be_busy():
        pass
    clock.seconds += 500
    with waiting.server_may_be_busy():
        raise httpx.ReadTimeout("busy")
    clock.seconds += 200
    with pytest.raises(PipelineError, match="has not answered for 10 minutes"), waiting.server_may_be_busy():
        raise httpx.ConnectError("gone")


def test_how_a_run_ended_says_whether_another_try_can_help() -> None:
    run: Any = SimpleNamespace(name="bce")
    assert pool._seconds(Completed(message="96.2"), run) == 96.2
    for state, again in ((Crashed(message="went away"), True), (Failed(name=pool.AGAIN, message="busy"), True)):
        with pytest.raises(PipelineError) as caught:
            pool._seconds(state, run)
        assert caught.value.retry == again
    with pytest.raises(PipelineError, match="wrong input") as caught:
        pool._seconds(Failed(message="wrong input"), run)
    assert not caught.value.retry
