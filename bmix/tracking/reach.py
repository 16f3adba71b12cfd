"""Whether the record can be written, found out before MLflow's seconds of importing, and by one process at a time."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from bmix.support.locks import held
from bmix.tracking.destination import Destination
from bmix.tracking.server import ask

_SECONDS_TO_LOCK = 5
_SECONDS_TO_WAIT_FOR_OTHERS = 60
_HOST_AND_PORT = re.compile(r"(?!\w+://)(\S+@)?[\w.-]+:\d+(/|\?|\Z)")


class UnusableError(OSError):
    """A destination that no record can be sent to as it is named; `remedy` says how to name another."""

    def __init__(self, fault: str, remedy: str) -> None:
        self.remedy = remedy
        super().__init__(fault)


def check_reachable(target: Destination) -> None:
    """Raise OSError within seconds where a server does not answer, a database cannot be written, or a URI is no URI."""
    _refuse_unusable_address(target)
    if target.server:
        answer = ask(target.server, "health")
        if answer.status_code >= 500 or answer.status_code == 407:
            raise ConnectionError(f"answers {answer.status_code} {answer.reason}")
    if target.database and target.database.exists():
        try:
            with closing(sqlite3.connect(target.database, timeout=_SECONDS_TO_LOCK)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
        except sqlite3.Error as error:
            raise OSError(f"{target.database}: {error}") from error


def _refuse_unusable_address(target: Destination) -> None:
    uri = target.uri
    if _HOST_AND_PORT.match(uri):
        raise UnusableError("no http:// before the host", f"set MLFLOW_TRACKING_URI=http://{target.shown}")
    if re.match(r"https?:", uri, re.IGNORECASE):
        host = re.split(r"[/?#]", uri.partition("://")[2], maxsplit=1)[0]
        port = re.search(r":([^:\]]*)\Z", host.rpartition("@")[2])
        if not host.rpartition("@")[2] or (port and port[1] and not port[1].isdecimal()):
            raise UnusableError(
                "cannot be taken apart into user, password, host and port",
                "set MLFLOW_TRACKING_URI=http://HOST:PORT; in a user or password write / as %2F, ? as %3F, # as %23 "
                "and @ as %40, or set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead",
            )
    if target.misread:
        raise UnusableError(
            "the path holds a ?, after which SQLAlchemy expects options", "keep the database in a folder without a ?"
        )


@contextmanager
def only_one(target: Destination) -> Iterator[None]:
    """Hold a lock file beside a local record, so that two processes never look for a run and create it twice.

    Raises TimeoutError where another process holds it for a minute. A server's record is not locked.
    """
    if target.artifacts is None:
        yield
        return

    def refusal(process: str) -> Exception:
        return TimeoutError(f"{lock} is held by another process, {process}")

    lock = target.artifacts / ".lock"
    with held(lock, refusal, _SECONDS_TO_WAIT_FOR_OTHERS, "waiting for another process that writes the MLflow record"):
        yield
