"""What is told of a record that could not be sent: what went wrong, and what to do about it."""

from __future__ import annotations

import errno
import re
import shlex
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from bmix.tracking.destination import Destination, is_folder
from bmix.tracking.reach import UnusableError

_DRIVERS = {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
_HERE = ("127.0.0.1", "localhost", "::1")
_CREDENTIALS = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"


_LONGEST_REASON = 300


def reason(error: BaseException, target: Destination) -> str:
    """What went wrong in one line, without secrets; of a failed request what the system said of it."""
    for each in _chain(error):
        if type(error).__module__.startswith("requests") and type(each).__module__ in ("builtins", "socket", "ssl"):
            error = each
    return target.mask(" ".join(f"{type(error).__name__}: {error}".split()))[:_LONGEST_REASON]


def remedy(error: BaseException, target: Destination) -> str:
    """One line that says how to mend what raised `error`; commands in it can be pasted."""
    for each in _chain(error):
        if isinstance(each, UnusableError):
            return each.remedy
        if isinstance(each, ModuleNotFoundError):
            return f"install the database's driver: python -m pip install {_DRIVERS.get(each.name or '', each.name)}"
        if isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return "make room on the disk"
        if isinstance(each, PermissionError):
            return f"get the right to write to {each.filename or 'it'}"
    text = " ".join(f"{type(each).__name__}: {each}" for each in _chain(error))
    for pattern, advice in _ADVICE:
        if re.search(pattern, text, re.IGNORECASE):
            return advice(target)
    return "correct MLFLOW_TRACKING_URI"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _start_the_server(target: Destination) -> str:
    place = urlsplit(target.server or "")
    host, port = place.hostname or "", place.port or (443 if place.scheme == "https" else 80)
    if host in _HERE:
        return f"start the tracking server: mlflow server --host {shlex.quote(host)} --port {port}"
    return f"start the tracking server, or correct MLFLOW_TRACKING_URI: nothing listens on {host}, port {port}"


def _upgrade(target: Destination) -> str:
    copy = f"cp {_quoted_file(target)} {_quoted_file(target)}.before && " if target.database else ""
    return f"upgrade the database, after a copy of it: {copy}mlflow db upgrade {shlex.quote(target.shown)}"


def _move_away(target: Destination) -> str:
    file = _quoted_file(target)
    return f"move the file away, e.g. mv {file} {file}.damaged"


def _quoted_file(target: Destination) -> str:
    return shlex.quote(str(target.database))


def _name_a_database(target: Destination) -> str:
    named = target.uri.rsplit("/", 1)[-1]
    server = f", or http://{named} if that is a server" if is_folder(target.uri) and "." in named else ""
    return f"MLflow keeps no records in folders any more; set MLFLOW_TRACKING_URI=sqlite:///mlflow.db{server}"


def _speak_http(target: Destination) -> str:
    return f"the server speaks plain http: set MLFLOW_TRACKING_URI=http{target.shown.removeprefix('https')}"


def _always(advice: str) -> Callable[[Destination], str]:
    return lambda _: advice


# The first that fits.
_ADVICE: tuple[tuple[str, Callable[[Destination], str]], ...] = (
    (r"ProxyError|answers 407", _always("correct HTTP_PROXY and HTTPS_PROXY, or add the server's host to NO_PROXY")),
    (r"WRONG_VERSION_NUMBER|record layer failure", _speak_http),
    (
        r"SSLError|CERTIFICATE_VERIFY_FAILED",
        _always("name the server's certificate authority: MLFLOW_TRACKING_SERVER_CERT_PATH=FILE"),
    ),
    (r"error code 401|answers 401|unauthori[sz]ed|UNAUTHENTICATED", _always(f"log in to the server: {_CREDENTIALS}")),
    (
        r"error code 403|answers 403|PERMISSION_DENIED",
        _always(f"ask for the right to write to the experiment, or log in as another user: {_CREDENTIALS}"),
    ),
    (r"out-of-date database schema", _upgrade),
    (
        r"Can't locate revision",
        _always("the database is of a newer MLflow: python -m pip install --upgrade mlflow"),
    ),
    (r"filesystem tracking backend|MLFLOW_ALLOW_FILE_STORE", _name_a_database),
    (
        r"NoSuchModuleError|UnsupportedModelRegistryStoreURI|is not a valid|unsupported|Could not parse",
        _always(
            "correct MLFLOW_TRACKING_URI: sqlite:///FILE, http://HOST:PORT, or postgresql://USER:PASSWORD@HOST/NAME"
        ),
    ),
    (
        r"NameResolutionError|gaierror|Failed to resolve|Name or service not known",
        _always("correct the host's name in MLFLOW_TRACKING_URI"),
    ),
    (r"Connection ?refused", _start_the_server),
    (r"database is locked|is held by another process", _always("wait until the other process has ended, or end it")),
    (r"not a database|malformed", _move_away),
    (r"disk is full", _always("make room on the disk")),
    (
        r"readonly database|unable to open database",
        lambda target: f"get the right to write to {_quoted_file(target)} and to its folder",
    ),
    (r"Timeout|timed out", _always("see that the server is not overloaded, and that MLFLOW_TRACKING_URI names it")),
    (
        r"error code 404|JSONDecodeError|ENDPOINT_NOT_FOUND",
        _always("correct MLFLOW_TRACKING_URI: what answers there is no MLflow server"),
    ),
    (r"answers 5\d\d|error code 5\d\d", _always("look at the server's log: it answers, but with an error of its own")),
)
