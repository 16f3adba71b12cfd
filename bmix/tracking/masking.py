"""Addresses and messages without their secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

_HIDDEN = "***"
_SHORTEST_SECRET = 3
_ENVIRONMENT = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_USERINFO = re.compile(r"://[^\s/]*@")
_QUERY_VALUE = re.compile(r"([?&]\w*(?:token|pass|pwd|secret|key|auth|sig)[\w.-]*=)[^\s&#'\")]+", re.IGNORECASE)


def masked_address(address: str) -> str:
    """An address without user, password and the values of its query.

    Where an @ follows a slash, a ? or a #, each of which may belong to the password, all is masked after the scheme.
    """
    scheme, separator, rest = _parts(address)
    if _is_path(address):
        return address
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in rest[len(host) :]:
        return f"{scheme}{separator}{_HIDDEN}"
    user, at, rest = rest.rpartition("@")
    shown = re.sub(r"(?<=[?&#])([^=&#]*=)?[^&#]+", lambda found: f"{found[1] or ''}{_HIDDEN}", rest)
    return f"{scheme}{separator}{_HIDDEN * bool(user or at)}{at}{shown}"


def masked(text: str, address: str) -> str:
    """A message about an address without its secrets, those of the credentials in the environment, and of proxies."""
    if not _is_path(address):
        text = text.replace(address, masked_address(address))
    secrets = {secret for secret in _secrets(address) if len(secret) >= _SHORTEST_SECRET}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return _QUERY_VALUE.sub(rf"\1{_HIDDEN}", _USERINFO.sub(f"://{_HIDDEN}@", text))


def _secrets(address: str) -> Iterator[str]:
    proxies = [os.environ.get(name, "") for variable in _PROXIES for name in (variable, variable.lower())]
    values = [os.environ.get(name, "") for name in _ENVIRONMENT]
    for each in [address, *proxies]:
        values += _secret_parts(each)
    for value in values:
        yield value
        yield unquote(value)


def _secret_parts(address: str) -> list[str]:
    if _is_path(address):
        return []
    rest = _parts(address)[2]
    before_at, at, after_at = rest.rpartition("@")
    user, colon, password = before_at.partition(":")
    parts = [before_at, password if colon else user] if at else []
    query = re.split(r"[?#]", after_at, maxsplit=1)[1:]
    for each in query:
        parts += [each, *(pair.partition("=")[2] or pair for pair in re.split(r"[&#]", each))]
    if at and "@" in rest[len(re.split(r"[/?#]", rest, maxsplit=1)[0]) :]:
        # A library takes such an address apart at another place, and tells the pieces.
        parts += [piece for piece in re.split(r"[@/?#:&=]", rest) if len(piece) > _SHORTEST_SECRET]
    return parts


def _parts(address: str) -> tuple[str, str, str]:
    """Scheme, `://`, and the rest; the first two are empty where there is no scheme."""
    scheme, separator, rest = address.partition("://")
    return (scheme, separator, rest) if separator and re.fullmatch(r"[\w.+-]+", scheme) else ("", "", address)


def _is_path(address: str) -> bool:
    """Whether an address is a file's or a folder's, in which an @ or a # is a character like others."""
    scheme, separator, rest = _parts(address)
    return scheme.startswith(("sqlite", "file")) or (not separator and "@" not in rest and "=" not in rest)
