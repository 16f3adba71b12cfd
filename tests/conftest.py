from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmix.pipeline.repro import TELEMETRY_OFF
from bmix.support.locks import held
from tests.helpers.projects import make_project, run

os.environ.update(TELEMETRY_OFF)
# Two test processes share the cores: threads that wait for a core of the other take many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")


SLOW_ROOMS = ("chaos", "docs", "models", "stages", "tracking", "training")
"""Rooms whose tests train, start other programs or damage files by hundreds: all of them are `slow`."""

ROOMS_OF_PREFECT = ("ablation", "flows", "pipeline", "retraining")
"""Rooms whose tests would see the server that others started."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--exhaustive`: also the tests that repeat for other data what a quicker one shows."""
    parser.addoption("--exhaustive", action="store_true", help="run the tests marked as exhaustive too")


# Before pytest chooses by markers.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is exhaustive unless it is asked for, mark the slow rooms, and put quick tests last.

    Tests that run Prefect share one server, and so one of several test processes. Its exit hooks stay in that process
    and fail in all that it forks later, so none but quick tests follow, which keep the other processes busy meanwhile.
    """
    if not config.getoption("--exhaustive"):
        left_out = [item for item in items if item.get_closest_marker("exhaustive")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    for item in items:
        if item.path.parent.name in SLOW_ROOMS:
            item.add_marker(pytest.mark.slow)
        if runs_prefect(item):
            item.add_marker(pytest.mark.xdist_group("prefect"))
    items.sort(key=lambda item: 1 if runs_prefect(item) else 2 if is_quick(item) else 0)


def runs_prefect(item: pytest.Item) -> bool:
    return "prefect_server" in getattr(item, "fixturenames", ())


def is_quick(item: pytest.Item) -> bool:
    """Whether the test starts no other program, and asks nothing of Prefect."""
    slow = any(map(item.get_closest_marker, ("pipeline", "slow", "real_data")))
    return not slow and item.path.parent.name not in ROOMS_OF_PREFECT


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """The environment as it was, after a test of code that changes its own."""
    before = dict(os.environ)
    yield
    if os.environ != before:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project after its first `python -m bmix repro`; to be copied, not changed.

    Made by the first of several test processes that needs it.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, made = shared / "finished" / "project", shared / "finished" / "made"
    with held(shared / "finished.lock", lambda process: AssertionError(f"{process} hangs"), 1800):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            ended = run(make_project(folder), "-m", "bmix", "repro")
            assert ended.returncode == 0, ended.stdout
            made.touch()
    return folder


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow that holds nothing; to be copied, since making it takes seconds."""
    from bmix.tracking.destination import Destination
    from bmix.tracking.runs import connect

    folder = tmp_path_factory.mktemp("empty")
    connect(Destination(f"sqlite:///{folder}/mlflow.db", "bmix", folder / "mlartifacts"))
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A temporary Prefect server with a database of its own; one for all tests, since it takes ten seconds."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
