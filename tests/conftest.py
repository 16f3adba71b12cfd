from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmix.pipeline.repro import TELEMETRY_OFF
from tests.projects import make_project, run

os.environ.update(TELEMETRY_OFF)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that run Prefect come last: its exit hooks stay in this process, and fail in every process forked later."""
    items.sort(key=lambda item: "prefect_server" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project after its first `python -m bmix repro`; to be copied, not changed."""
    folder = make_project(tmp_path_factory.mktemp("finished") / "project")
    ended = run(folder, "-m", "bmix", "repro")
    assert ended.returncode == 0, ended.stdout
    return folder


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A temporary Prefect server with a database of its own; one for all tests, since it takes ten seconds."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
