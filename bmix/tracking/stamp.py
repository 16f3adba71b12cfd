"""The stamp of the last record that was sent: while it is current, and the record there, nothing has to be done."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from bmix.support.files import write_json
from bmix.tracking.destination import Destination
from bmix.tracking.models import registered_name
from bmix.tracking.server import ask
from bmix.workspace.locked import LOCK_FILE, PARAMS_FILE, digest, load_yaml, locked_stages

STAMP = Path(".bmix/published.json")
_SECONDS_TO_LOCK = 5


@dataclass(frozen=True)
class SentRuns:
    """Where a record lies in MLflow: the id of the experiment, and of the parent run and its current children."""

    experiment: str
    parent: str
    children: Sequence[str]

    @property
    def runs(self) -> set[str]:
        """The ids of all of them."""
        return {self.parent, *self.children}


def is_current(target: Destination) -> bool:
    """Whether the record at `target` was sent from the params and the locked stages on disk, and is there.

    The store is asked: a sqlite database by one query, a server by two requests. A store that neither can ask is taken
    as one without the record. Raises InputError where the stages have not run, OSError where a server does not answer.
    """
    expected = _expected(target)
    try:
        content = json.loads(STAMP.read_text(encoding="utf-8"))
        fields = content.pop("sent")
        sent = SentRuns(str(fields["experiment"]), str(fields["parent"]), [str(run) for run in fields["children"]])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    if content != expected:
        return False
    if target.database:
        return _in_database(target.database, target.experiment, sent)
    return target.server is not None and _on_server(target.server, target.experiment, sent)


def write_stamp(target: Destination, sent: SentRuns) -> None:
    """Note that the record at `target` is up to date with the files on disk."""
    write_json(STAMP, {**_expected(target), "sent": asdict(sent)})


def remove_stamp() -> None:
    """Have the next publish look at the record again."""
    STAMP.unlink(missing_ok=True)


def parent_of(folder: Path, target: Destination) -> str | None:
    """The parent run that the record of the run in a folder was last sent to; None unless it is that of its outputs.

    The store is not asked.
    """
    try:
        content = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        sent = str(content.pop("sent")["parent"])
        return sent if content == _expected(target, folder) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _expected(target: Destination, folder: Path = Path()) -> dict[str, Any]:
    return {
        "params": digest(load_yaml(folder / PARAMS_FILE)),
        "lock": digest(locked_stages(folder / LOCK_FILE)),
        "experiment": target.experiment,
        "uri": target.shown,
        "registered": registered_name(),
    }


def _in_database(database: Path, experiment: str, sent: SentRuns) -> bool:
    marks = ", ".join("?" for _ in sent.runs)
    query = (
        "SELECT runs.run_uuid, runs.artifact_uri FROM runs JOIN experiments USING (experiment_id) "
        "WHERE experiment_id = ? AND experiments.name = ? AND experiments.lifecycle_stage = 'active' "
        f"AND runs.lifecycle_stage = 'active' AND runs.run_uuid IN ({marks})"
    )
    try:
        readable = f"file:{quote(str(database))}?mode=ro"
        with closing(sqlite3.connect(readable, uri=True, timeout=_SECONDS_TO_LOCK)) as connection:
            found = dict(connection.execute(query, [int(sent.experiment), experiment, *sent.runs]).fetchall())
    except (sqlite3.Error, ValueError):
        return False
    return set(found) == sent.runs and _is_there(found[sent.parent])


def _is_there(artifacts: str) -> bool:
    """Whether the folder of a run's artifacts is there, where it is a folder."""
    place = urlsplit(artifacts)
    return place.scheme != "file" or Path(unquote(place.path)).is_dir()


def _on_server(server: str, experiment: str, sent: SentRuns) -> bool:
    api = "api/2.0/mlflow"
    ids = ", ".join(f"'{run}'" for run in sorted(sent.runs))
    search = {"experiment_ids": [sent.experiment], "filter": f"attributes.run_id IN ({ids})", "max_results": 1000}
    try:
        found = ask(server, f"{api}/experiments/get", {"experiment_id": sent.experiment}).json()["experiment"]
        if (found["name"], found["lifecycle_stage"]) != (experiment, "active"):
            return False
        runs = ask(server, f"{api}/runs/search", content=search).json().get("runs", [])
        return {run["info"]["run_id"] for run in runs} == sent.runs
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
