"""A project that was moved, renamed or copied: its MLflow database still names the folder where it once stood."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bmix.tracking.destination import Destination

RUNS = "runs"
"""The folder of the artifacts of every experiment, in the destination's folder of artifacts."""
_SECONDS_TO_LOCK = 5
_RUN_TABLES = {"runs": "artifact_uri", "logged_models": "artifact_location"}


def mend_locations(target: Destination) -> None:
    """Have the experiments of a sqlite record write beside it again, and its runs be read from there.

    A location is mended where it is of bmix's own making, beside the database wherever that lay, and is another folder
    than the one beside it now. A run whose artifacts are in the old place alone keeps it. Call it while no other
    process writes: `only_one`. Raises OSError where the database cannot be read or written.
    """
    if target.database is None or target.artifacts is None or not target.database.exists():
        return
    try:
        with closing(sqlite3.connect(target.database, timeout=_SECONDS_TO_LOCK)) as connection, connection:
            _mend(connection, target.artifacts)
    except sqlite3.Error as error:
        raise OSError(f"{target.database}: {error}") from error


def _mend(connection: sqlite3.Connection, artifacts: Path) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "experiments" not in tables:
        return
    stored = [place for (place,) in connection.execute("SELECT DISTINCT artifact_location FROM experiments")]
    own = artifacts.as_uri()
    for before in sorted({place.removesuffix(f"/{RUNS}") for place in stored if is_elsewhere(place, artifacts)}):
        for table, column in _RUN_TABLES.items():
            for place in _below(connection, table, column, before) if table in tables else []:
                now = own + place.removeprefix(before)
                if _folder(now).exists() or not _folder(place).exists():
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (now, place))
        for place in _below(connection, "experiments", "artifact_location", before):
            now = own + place.removeprefix(before)
            connection.execute("UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (now, place))


def is_elsewhere(place: str | None, artifacts: Path) -> bool:
    """Whether the artifacts of an experiment lie as bmix places them, but not in the folder `artifacts`."""
    if place is None or not place.startswith("file:///") or not place.endswith(f"/{artifacts.name}/{RUNS}"):
        return False
    if place == f"{artifacts.as_uri()}/{RUNS}":
        return False
    folder = _folder(place).parent
    return not (folder.exists() and artifacts.exists() and folder.samefile(artifacts))


def _below(connection: sqlite3.Connection, table: str, column: str, folder: str) -> list[str]:
    query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} = ? OR substr({column}, 1, ?) = ?"
    return [place for (place,) in connection.execute(query, (folder, len(folder) + 1, f"{folder}/"))]


def _folder(location: str) -> Path:
    return Path(unquote(urlsplit(location).path))
