"""The served model in MLflow's registry: aliases that move, tags that say why; what fails is a warning."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bmix.tracking.champion import set_aliases, tag_run
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
def test_aliases_follow_what_is_served(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = accepted(1)
    set_aliases({"champion": first}, {"bmix.reason": "the first"})
    assert reason_of("champion") == "the first"
    second = accepted(2)
    set_aliases({"champion": second, "previous": first}, {"bmix.reason": "better"})
    assert (reason_of("champion"), reason_of("previous")) == ("better", "the first")
    set_aliases({"champion": first, "previous": second}, {"bmix.reason": "rolled back"})
    assert (reason_of("champion"), reason_of("previous")) == ("rolled back", "better")
    assert len(client().search_model_versions("name = 'bmix'")) == 2

    tag_run(Path(), {"bmix.night_result": "promoted"})
    assert parents()[0].data.tags["bmix.night_result"] == "promoted"
    capsys.readouterr()
    set_aliases({"champion": save_model(Path("models/versions/3"), 3)}, {})
    assert "warning: the record holds no model of models/versions/3" in capsys.readouterr().err
    assert reason_of("champion") == "rolled back"


def test_a_server_that_is_away_is_a_warning(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    set_aliases({"champion": Path("models/final")}, {})
    told = capsys.readouterr().err
    assert "does not know of the champion" in told
    assert "bmix models promote NUMBER" in told
    assert "secret" not in told


def test_nothing_is_asked_where_tracking_is_off(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BMIX_TRACKING", "off")
    set_aliases({"champion": Path("nowhere")}, {})
    tag_run(Path(), {"bmix.night": "now"})
    assert capsys.readouterr().err == ""
