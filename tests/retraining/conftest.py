from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.nights import StagesByHand, copy_without_dvc, make_bare_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in the current folder on 300 rows, whose copies are made without DVC."""
    monkeypatch.chdir(make_bare_project(tmp_path))
    monkeypatch.setenv("BMIX_TRACKING", "off")
    monkeypatch.setattr("bmix.pipeline.copies.refresh_copy", copy_without_dvc)
    return tmp_path


@pytest.fixture
def stages() -> StagesByHand:
    return StagesByHand()
