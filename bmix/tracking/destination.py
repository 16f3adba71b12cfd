"""Where the record goes, as the environment says."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from bmix.tracking.masking import masked, masked_address
from bmix.workspace.project import project_root

_SQLITE = re.compile(r"\Asqlite(\+\w+)?:///")
_QUERY = re.compile(r"\?(\w+=[^&/?]*(&|\Z))+\Z")
_LOCAL = re.compile(r"(postgresql|mysql|mssql|sqlite)(\+\w+)?:|file:", re.IGNORECASE)
_IN_MEMORY = ("", ":memory:")


@dataclass(frozen=True)
class Destination:
    """A tracking URI as MLflow takes it, and an experiment; `artifacts` is None where a server says where they go."""

    uri: str
    experiment: str
    artifacts: Path | None

    @property
    def database(self) -> Path | None:
        """The sqlite file, where the record is one."""
        return _sqlite_file(_SQLITE.sub("", self.uri)) if _SQLITE.match(self.uri) else None

    @property
    def misread(self) -> bool:
        """Whether SQLAlchemy would take a part of the sqlite file's path for options."""
        place = _SQLITE.sub("", self.uri)
        return place != self.uri and "?" in _QUERY.sub("", place) and not place.startswith("file:")

    @property
    def server(self) -> str | None:
        """The address of the tracking server, without a slash at its end, where the record is kept by one."""
        return self.uri.rstrip("/") if self.uri.lower().startswith(("http://", "https://")) else None

    @property
    def shown(self) -> str:
        """The URI without its secrets."""
        return masked_address(self.uri)

    def mask(self, text: str) -> str:
        """A message about this destination without its secrets."""
        return masked(text, self.uri)


def tracking_on() -> bool:
    """False where BMIX_TRACKING is off."""
    return os.environ.get("BMIX_TRACKING", "on").strip().lower() not in {"off", "0", "false", "no"}


def destination() -> Destination:
    """MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME where set, else mlflow.db in the project and the experiment bmix.

    A relative path, of sqlite or of a folder, counts from the project, so that its copies write to the same place.
    """
    root = project_root()
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or "sqlite:///mlflow.db"
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "bmix"
    if found := _SQLITE.match(uri):
        return _in_sqlite(found[0], uri[found.end() :], experiment, root)
    if is_folder(uri):
        return Destination(str(root / uri), experiment, root / "mlartifacts")
    return Destination(uri, experiment, root / "mlartifacts" if _LOCAL.match(uri) else None)


def is_folder(uri: str) -> bool:
    """Whether MLflow would take a URI for the folder of a file store."""
    return ":" not in uri and "@" not in uri and not uri.startswith(("databricks", "uc"))


def _in_sqlite(prefix: str, place: str, experiment: str, root: Path) -> Destination:
    query = _QUERY.search(place)
    named, options = (place[: query.start()], query[0]) if query else (place, "")
    if named in _IN_MEMORY or named.startswith("file:"):
        file = _sqlite_file(place)
        return Destination(f"{prefix}{place}", experiment, (file.parent if file else root) / "mlartifacts")
    database = Path(os.path.normpath(root / named))
    # SQLAlchemy, which decodes nothing, takes what follows a ? for options: a folder of such a name must not be named.
    told = os.path.relpath(database) if "?" in str(database) else str(database)
    return Destination(f"{prefix}{told}{options}", experiment, database.parent / "mlartifacts")


def _sqlite_file(place: str) -> Path | None:
    named = place.partition("?")[0]
    if named.startswith("file:"):
        named = unquote(named.removeprefix("file:")).removeprefix("//")
    return None if named in _IN_MEMORY else Path(named).absolute()
