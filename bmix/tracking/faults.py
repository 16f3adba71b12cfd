"""What is told of a record that could not be sent: what went wrong, and what to do about it."""

from __future__ import annotations

import errno
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from bmix.pipeline.repro import shown_command
from bmix.tracking.destination import Destination, is_folder
from bmix.tracking.reach import UnusableError

_LONGEST_REASON = 300
_DRIVERS = {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
_HERE = ("127.0.0.1", "localhost", "::1")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CREDENTIALS = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
_ROOM = "make room on the disk"


def reason(error: BaseException, target: Destination) -> str:
    """What went wrong in one line, without secrets; of a failed request what the system said of it."""
    if isinstance(error, UnusableError):
        return str(error)
    for each in _chain(error):
        if type(error).__module__.startswith("requests") and type(each).__module__ in ("builtins", "socket", "ssl"):
            error = each
    return target.mask(" ".join(f"{type(error).__name__}: {error}".split()))[:_LONGEST_REASON]


def remedy(error: BaseException, target: Destination) -> str:
    """One line that says how to mend what raised `error`, without secrets; commands in it can be pasted."""
    for each in _chain(error):
        if isinstance(each, UnusableError):
            return each.remedy
        if isinstance(each, ModuleNotFoundError):
            return f"install the database's driver: python -m pip install {_DRIVERS.get(each.name or '', each.name)}"
        if isinstance(each, OSError) and each.errno in _NO_ROOM:
            return _ROOM
        if isinstance(each, PermissionError) and each.filename:
            return f"get the right to write to {each.filename}"
        if isinstance(each, FileExistsError | NotADirectoryError | IsADirectoryError) and each.filename:
            return f"move {each.filename} away, which is in the place of a file or folder of the record"
    text = " ".join(f"{type(each).__name__}: {each}" for each in _chain(error))
    for pattern, advice in _ADVICE.items():
        if re.search(pattern, text, re.IGNORECASE):
            return target.mask(advice if isinstance(advice, str) else advice(target, text))
    return "correct MLFLOW_TRACKING_URI"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        seen.append(each)
        yield each
        each = each.__cause__ or each.__context__


def _start_the_server(target: Destination, _: str) -> str:
    place = urlsplit(target.server or "")
    host, port = place.hostname or "", place.port or (443 if place.scheme == "https" else 80)
    if host in _HERE:
        return f"start the tracking server: {shown_command('mlflow', 'server')} --host {host} --port {port}"
    return f"start the tracking server, or correct MLFLOW_TRACKING_URI: nothing listens on {host}, port {port}"


def _upgrade(target: Destination, text: str) -> str:
    import mlflow

    found = re.search(r"found version (\w+)", text)
    steps = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    if found and found[1] != "None" and not list(steps.glob(f"{found[1]}_*.py")):
        return "the database is of a newer MLflow: python -m pip install --upgrade mlflow"
    copy = f"cp {_file(target)} {_file(target, '.before')} && " if target.database else ""
    command = f"{shown_command('mlflow', 'db upgrade')} {shlex.quote(target.shown)}"
    return f"upgrade the database, after a copy of it: {copy}{command}"


def _move_away(target: Destination, _: str) -> str:
    return f"move the file away: mv {_file(target)} {_file(target, '.damaged')}"


def _file(target: Destination, suffix: str = "") -> str:
    return shlex.quote(f"{target.database}{suffix}")


def _name_a_database(target: Destination, _: str) -> str:
    named = target.uri.rsplit("/", 1)[-1]
    server = f", or http://{named} if that is a server" if is_folder(target.uri) and "." in named else ""
    return f"MLflow keeps no record in a folder any more: set MLFLOW_TRACKING_URI=sqlite:///mlflow.db{server}"


def _speak_http(target: Destination, _: str) -> str:
    return f"the server speaks plain http: set MLFLOW_TRACKING_URI=http{target.shown.removeprefix('https')}"


def _get_the_right(target: Destination, _: str) -> str:
    return f"get the right to write to {_file(target)} and to its folder"


# By what is found in the messages; the first that fits.
_ADVICE: dict[str, str | Callable[[Destination, str], str]] = {
    r"ProxyError|answers 407": "correct HTTP_PROXY and HTTPS_PROXY, or add the server's host to NO_PROXY",
    r"WRONG_VERSION_NUMBER|record layer failure": _speak_http,
    r"SSLError|CERTIFICATE_VERIFY_FAILED": "name the server's certificate: MLFLOW_TRACKING_SERVER_CERT_PATH=FILE",
    r"error code 401|unauthori[sz]ed|UNAUTHENTICATED": f"log in to the server: {_CREDENTIALS}",
    r"error code 403|PERMISSION_DENIED": (
        f"ask for the right to write to the experiment, or log in as another user: {_CREDENTIALS}"
    ),
    r"out-of-date database schema": _upgrade,
    r"Can't locate revision": "the database is of a newer MLflow: python -m pip install --upgrade mlflow",
    r"filesystem tracking backend": _name_a_database,
    r"databricks-sdk": "python -m pip install databricks-sdk, and log in: databricks auth login",
    r"unsupported URI|Can't load plugin|Could not parse": (
        "correct MLFLOW_TRACKING_URI: sqlite:///FILE, http://HOST:PORT, postgresql://HOST/NAME, mysql://HOST/NAME"
    ),
    r"NameResolutionError|gaierror|Failed to resolve": "correct the host's name in MLFLOW_TRACKING_URI",
    r"Connection ?refused": _start_the_server,
    r"database is locked|held by another process": "wait until the other process has ended, or end it",
    r"not a database|malformed": _move_away,
    r"disk is full": _ROOM,
    r"readonly database|unable to open database": _get_the_right,
    r"Timeout|timed out": "see that the server is not overloaded, and that MLFLOW_TRACKING_URI names it",
    r"error code 404|valid JSON|JSONDecodeError": "correct MLFLOW_TRACKING_URI: what answers there is no MLflow server",
    r"answers 5\d\d|error code 5\d\d|too many 5\d\d": "look at the server's log: it answers with an error of its own",
}
