"""What people decide about the model that is served: it is in the history as the nights are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bmix.data.manifest import read_manifest
from bmix.models.registry import WEIGHTS
from bmix.params import parse_params, read_yaml
from bmix.pipeline.projects import RUNS, Project
from bmix.retraining.drift import keep_sample
from bmix.retraining.facts import data_facts
from bmix.retraining.history import BY_HAND, NightRecord, add_night
from bmix.retraining.owed import owe_version
from bmix.retraining.registry import tell_mlflow
from bmix.retraining.versions import Version, champion, find_version, keep_version, promote, roll_back
from bmix.support.errors import InputError
from bmix.support.files import read_json


def promote_by_hand(model: str) -> str:
    """Make a version, by its number, or the model of a run, by its name or folder, the champion; a line that tells so.

    InputError if there is no such version and no finished run of that name.
    """
    # A number is a version's, whatever a run may be called.
    places = () if model.isdigit() else (RUNS / model, Path(model))
    run = next((folder for folder in places if _is_run(folder)), None)
    version = find_version(model) if run is None else _version_of(run)
    before = champion()
    promote(version)
    return _told(version, before, "promoted")


def roll_back_by_hand() -> str:
    """Exchange champion and previous; a line that tells so."""
    version, before = roll_back()
    return _told(version, before, "rolled back")


def _is_run(folder: Path) -> bool:
    return (folder / "models" / "final" / WEIGHTS).is_file() and (folder / "dvc.lock").is_file()


def _version_of(run: Path) -> Version:
    if not (run / "metrics.json").is_file():
        raise InputError(
            str(run), "holds no metrics.json", "a run that was evaluated", "let it end, or name another one"
        )
    prepared = run / "data" / "prepared"
    estimate = run / "data" / "audit" / "noise_estimate.json"
    manifest = read_manifest(prepared)
    facts = data_facts(
        manifest,
        read_json(prepared / "facts.json")["notes"],
        read_json(estimate) if estimate.is_file() else None,
    )
    project = Project(run, parse_params(read_yaml(run / "params.yaml")), {})
    return keep_version(run, "promoted by hand", facts.plain(), lambda folder: keep_sample(project, manifest, folder))


def _told(version: Version, before: Version | None, how: str) -> str:
    told = f"{version.name} is served now, {how} by hand" + (f"; before it {before.name}" if before else "")
    night = datetime.now(UTC).isoformat(timespec="milliseconds")
    add_night(NightRecord(night, BY_HAND, told, version=version.number))
    owe_version(night, version, told)
    tell_mlflow(print, night)
    return told
