"""A few kills of a whole pipeline; `python -m tests.chaos.kills` does as many as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.kills import disturb


@pytest.mark.exhaustive
@pytest.mark.pipeline
def test_a_pipeline_that_was_killed_comes_to_the_same_bytes(finished_project: Path, tmp_path: Path) -> None:
    figures = disturb(finished_project, tmp_path / "killed", kills=3, seed=5, seconds=15)
    assert figures.equal
    assert figures.tracebacks == 0
    assert figures.kills.total() == 3
