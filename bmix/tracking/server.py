"""A tracking server asked as MLflow asks it, by the same proxies, certificates and credentials, without MLflow."""

from __future__ import annotations

import base64
import configparser
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import Response

_SECONDS_TO_CONNECT, _SECONDS_TO_ANSWER = 3, 5


def ask(server: str, path: str, query: dict[str, str] | None = None, content: Any = None) -> Response:
    """GET, or POST where there is content; requests.RequestException, an OSError, where no answer comes in time."""
    # Importing it takes a quarter of a second, which a record in a file does without.
    import requests

    return requests.request(
        "GET" if content is None else "POST",
        f"{server}/{path}",
        params=query,
        json=content,
        headers=_authorisation(),
        verify=_verification(),
        cert=os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"),
        timeout=(_SECONDS_TO_CONNECT, _SECONDS_TO_ANSWER),
    )


def _authorisation() -> dict[str, str]:
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    file = configparser.ConfigParser(interpolation=None)
    try:
        file.read(Path.home() / ".mlflow" / "credentials", encoding="utf-8")
    except (configparser.Error, OSError, ValueError, RuntimeError):
        file.clear()
    user, password = (os.environ.get(name) or file.get("mlflow", name.lower(), fallback=None) for name in names)
    if user and password:
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _verification() -> bool | str:
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"true", "1"}:
        return False
    return os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
