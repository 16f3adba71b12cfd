"""Where the record goes, and whether it can be reached, found out before MLflow's seconds of importing."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

from bmix.workspace.project import project_root

_SQLITE = "sqlite:///"
_SECONDS_TO_CONNECT = 3
_SECONDS_TO_LOCK = 5
_SECONDS_TO_WAIT_FOR_OTHERS = 60


@dataclass(frozen=True)
class Destination:
    """A tracking URI and an experiment; `artifacts` is None where a server decides where artifacts go."""

    uri: str
    experiment: str
    artifacts: Path | None

    @property
    def database(self) -> Path | None:
        """The sqlite file, where the record is one."""
        return Path(self.uri.removeprefix(_SQLITE)) if self.uri.startswith(_SQLITE) else None

    @property
    def shown(self) -> str:
        """The URI without a password."""
        return self.mask(self.uri)

    def mask(self, text: str) -> str:
        """A message about this destination without its password."""
        return re.sub(r"://[^@/\s]+@", "://***@", text)


def tracking_on() -> bool:
    """False where BMIX_TRACKING is off."""
    return os.environ.get("BMIX_TRACKING", "on").strip().lower() not in {"off", "0", "false", "no"}


def destination() -> Destination:
    """MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME where set, else mlflow.db in the project and the experiment bmix.

    A relative path, of sqlite or of a folder, counts from the project, so that its copies write to the same place.
    """
    root = project_root()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}mlflow.db"
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "bmix"
    if uri.startswith(_SQLITE):
        database = root / uri.removeprefix(_SQLITE)
        return Destination(f"{_SQLITE}{database}", experiment, database.parent / "mlartifacts")
    if ":" not in uri and not uri.startswith("databricks"):
        uri = str(root / uri)
    served = uri.startswith(("http://", "https://", "databricks"))
    return Destination(uri, experiment, None if served else root / "mlartifacts")


def check_reachable(target: Destination) -> None:
    """Raise OSError within seconds where a server does not listen or a database cannot be written."""
    if target.uri.startswith(("http://", "https://")):
        parts = urlsplit(target.uri)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=_SECONDS_TO_CONNECT).close()
    if target.database and target.database.exists():
        try:
            with closing(sqlite3.connect(target.database, timeout=_SECONDS_TO_LOCK)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
        except sqlite3.Error as error:
            raise OSError(f"{target.database}: {error}") from error


@contextmanager
def only_one(target: Destination) -> Iterator[None]:
    """Hold a lock file beside a local record, so that two processes never look for a run and create it twice.

    Raises TimeoutError where another process holds it for a minute. A server's record is not locked.
    """
    if target.artifacts is None:
        yield
        return
    import fcntl

    target.artifacts.mkdir(parents=True, exist_ok=True)
    with (target.artifacts / ".lock").open("w") as lock:
        deadline = monotonic() + _SECONDS_TO_WAIT_FOR_OTHERS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() > deadline:
                    raise TimeoutError(f"{lock.name} is held by another process") from None
                sleep(0.05)
        yield
