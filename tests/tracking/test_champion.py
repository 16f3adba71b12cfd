"""The served model in MLflow's registry: aliases that move, tags that say why."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bmix.tracking.champion import Registry
from bmix.tracking.destination import destination
from stages import publish
from tests.helpers.mlflow_runs import client, parents
from tests.tracking.test_models import save_model


def accepted(seed: int) -> Path:
    """A model that was published, kept as a version."""
    save_model(Path("models/final"), seed)
    Path(".bmix/published.json").unlink(missing_ok=True)
    publish.main()
    return Path(shutil.copytree("models/final", f"models/versions/{seed}"))


def reason_of(alias: str) -> str | None:
    return client().get_model_version_by_alias("bmix", alias).tags.get("bmix.reason")


@pytest.mark.pipeline
def test_aliases_follow_what_is_served(recorded: Path) -> None:
    first, registry = accepted(1), Registry(destination())
    assert registry.keep(first, {"bmix.reason": "the first"}, "champion")
    assert reason_of("champion") == "the first"
    second = accepted(2)
    assert registry.keep(second, {"bmix.reason": "better"}, "champion")
    assert registry.keep(first, {}, "previous")
    assert (reason_of("champion"), reason_of("previous")) == ("better", "the first")
    assert len(client().search_model_versions("name = 'bmix'")) == 2

    (parent,) = parents()
    registry.tag_run(parent.info.run_id, {"bmix.night_result": "promoted"})
    assert parents()[0].data.tags["bmix.night_result"] == "promoted"
    third = save_model(Path("models/versions/3"), 3)
    assert (registry.holds(second), registry.holds(third)) == (True, False)
    assert not registry.keep(third, {}, "champion")
    assert reason_of("champion") == "better"


def test_a_server_that_is_away_is_found_out_before_mlflow_waits_for_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="refused"):
        Registry(destination())
