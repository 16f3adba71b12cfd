"""A project that is moved or copied keeps its record to itself, with all artifacts that came along."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from bmix.tracking.destination import Destination, destination
from bmix.tracking.moved import mend_locations
from stages import publish
from tests.helpers.mlflow_runs import all_runs, parents
from tests.helpers.tracked import write_lock

if TYPE_CHECKING:
    from mlflow.entities import Run


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def publish_anew() -> None:
    """Publish in a process of its own: MLflow remembers for a process where it found each run's artifacts."""
    command = [sys.executable, "-m", "stages.publish"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout[:13], done.stderr) == ("MLflow record", "")


def files(run: Run) -> set[str]:
    return set(tree(Path(unquote(urlsplit(run.info.artifact_uri).path))))


@pytest.mark.pipeline
def test_a_moved_project_writes_beside_itself_and_shows_its_older_runs(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish.main()
    first = {run.info.run_id: files(run) for run in all_runs()}
    moved = recorded.rename(recorded.with_name("moved, renamed"))
    monkeypatch.chdir(moved)
    write_lock(moved, evaluate=1)
    publish_anew()
    assert not recorded.exists()
    assert {run.info.run_id: files(run) for run in all_runs() if run.info.run_id in first} == first
    assert len(all_runs()) == len(first) + 1
    assert all(run.info.artifact_uri.startswith(f"{(moved / 'mlartifacts').as_uri()}/runs/") for run in all_runs())


@pytest.mark.pipeline
@pytest.mark.parametrize("with_artifacts", [True, False])
def test_a_copied_project_leaves_the_original_alone(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, with_artifacts: bool
) -> None:
    publish.main()
    copy = recorded.with_name("copy")
    shutil.copytree(recorded, copy, ignore=None if with_artifacts else shutil.ignore_patterns("mlartifacts"))
    before = tree(recorded)
    monkeypatch.chdir(copy)
    write_lock(copy, evaluate=1)
    publish_anew()
    assert tree(recorded) == before
    # What did not come along is read where it is, and another parent stands beside it.
    places = [f"{(folder / 'mlartifacts').as_uri()}/runs/" for folder in [copy, recorded][: 1 + (not with_artifacts)]]
    assert all(sum(run.info.artifact_uri.startswith(place) for run in parents()) == 1 for place in places)
    assert len(parents()) == len(places)
    assert all("report.html" in files(run) for run in parents())


def a_database(folder: Path, *places: str) -> Destination:
    (folder / "mlartifacts").mkdir(parents=True)
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.execute("CREATE TABLE experiments (name, artifact_location)")
        database.execute("CREATE TABLE runs (run_uuid, artifact_uri)")
        for number, place in enumerate(places):
            database.execute("INSERT INTO experiments VALUES (?, ?)", (str(number), place))
            database.execute("INSERT INTO runs VALUES (?, ?)", (str(number), f"{place}/{number}/artifacts"))
    return Destination(f"sqlite:///{folder}/mlflow.db", "bmix", folder / "mlartifacts")


def places(target: Destination) -> list[str]:
    assert target.database is not None
    with closing(sqlite3.connect(target.database)) as database:
        query = "SELECT artifact_location FROM experiments UNION ALL SELECT artifact_uri FROM runs"
        return [place for (place,) in database.execute(query)]


def test_only_places_of_bmix_own_making_are_mended(tmp_path: Path) -> None:
    others = ["s3://bucket/mlartifacts/runs", "file:///srv/artifacts", "/srv/mlartifacts/runs", "mlflow-artifacts:/3"]
    target = a_database(tmp_path / "a%b", "file:///old%3Fplace/mlartifacts/runs", *others)
    mend_locations(target)
    own = "file://" + str(tmp_path) + "/a%25b/mlartifacts/runs"
    assert places(target) == [
        own,
        *others,
        f"{own}/0/artifacts",
        *(f"{o}/{n + 1}/artifacts" for n, o in enumerate(others)),
    ]
    before = target.database.read_bytes() if target.database else b""
    mend_locations(target)
    assert target.database is not None
    assert target.database.read_bytes() == before


def test_the_same_folder_by_another_way_is_not_mended(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    place = (tmp_path / "link" / "mlartifacts" / "runs").as_uri()
    target = a_database(tmp_path / "real", place)
    mend_locations(target)
    assert places(target) == [place, f"{place}/0/artifacts"]


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    target = Destination(f"sqlite:///{tmp_path}/mlflow.db", "bmix", tmp_path / "mlartifacts")
    mend_locations(target)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("CREATE TABLE birds (name)")
    mend_locations(target)
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(OSError, match=r"mlflow.db: file is not a database"):
        mend_locations(target)


def test_the_destination_of_a_project_is_beside_it(project: Path) -> None:
    assert destination().artifacts == project / "mlartifacts"
