"""Prefect's server: whether the address that its settings name leads to one, in words instead of a traceback."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import prefect
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings

from bmix.support.errors import InputError

VARIABLE = "PREFECT_API_URL"
EXAMPLE = "http://127.0.0.1:4200/api"
START = "start one with `prefect server start --host 127.0.0.1` in a terminal of its own"
WITHOUT = f"run once without a server: {VARIABLE}= python -m flows.pipeline"
LEASES_IN_FILES = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem"
_SECONDS_TO_ANSWER = 30


def check_server(needed: bool) -> None:
    """InputError where Prefect's settings name a server that cannot be used, or none where one is `needed`.

    A server answers within 30 seconds by Prefect's own client, so that its proxies, certificates and credentials count.
    """
    url = get_current_settings().api.url
    if not url:
        if needed:
            raise InputError(
                VARIABLE,
                "names no Prefect server",
                "one, which keeps the schedule",
                f"{START} and set {VARIABLE}={EXAMPLE}, or run once without a schedule: --once",
            )
        return
    if not url.startswith(("http://", "https://")):
        guess = f"http://{url}" if "://" not in url else EXAMPLE
        raise _refused(url, "is no address of a server", "one that starts with http:// or https://", guess)
    fault = _fault(url)
    if fault is None:
        return
    complete = f"{url.rstrip('/')}/api"
    if fault.answers and not url.rstrip("/").endswith("/api") and _fault(complete) is None:
        raise _refused(url, "is the page of a Prefect server, not its API", "an address that ends in /api", complete)
    raise InputError(VARIABLE, f"{_shown(url)} {fault.found}", "a Prefect server", f"{fault.remedy}, or {_leave()}")


def warn_of_forgotten_leases() -> None:
    """Warn where the server keeps the leases of runs in its memory, as Prefect's own does unless it is told otherwise.

    A server that does not show its settings, such as Prefect Cloud, is not warned of.
    """
    try:
        with get_client(sync_client=True) as client:
            settings = client.request("GET", "/admin/settings").json()
        storage = str(settings["server"]["concurrency"]["lease_storage"])
    except (httpx.HTTPError, PrefectHTTPStatusError, ValueError, LookupError, TypeError):
        return
    if storage.endswith(".memory"):
        print(
            "warning: Prefect's server keeps in its memory which night is at work: if it is restarted, a night that "
            "goes on for longer than four minutes is ended\n"
            f"  fix: start the server with {LEASES_IN_FILES}",
            file=sys.stderr,
        )


@contextmanager
def server_errors_told() -> Iterator[None]:
    """Turn what Prefect raises for a server that goes away, or that does not start, into a ConnectionError in words."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConnectionError(None, f"Prefect's server cannot be reached any more: {_reason(error)}") from error
    except RuntimeError as error:
        text = " ".join(str(error).split())
        if isinstance(error.__cause__, httpx.HTTPError) or "ephemeral" in text:
            raise ConnectionError(None, f"Prefect's server cannot be reached: {text}\n  fix: try again") from error
        raise


@dataclass(frozen=True)
class _Fault:
    """What is wrong with an address. answers: something does answer there."""

    found: str
    remedy: str
    answers: bool = True


def _fault(url: str) -> _Fault | None:
    correct = f"correct it, e.g. {VARIABLE}={EXAMPLE}"
    try:
        with _client(url) as client:
            version = client.api_version() if "prefect.cloud" not in url else _greeting(client)
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        if status in (401, 403):
            remedy = "give the server's credentials: PREFECT_API_AUTH_STRING, or PREFECT_API_KEY for Prefect Cloud"
            return _Fault(f"does not let us in ({status})", remedy)
        return _Fault(f"answers with {status}, as no Prefect server does", correct)
    except httpx.ConnectError as error:
        if "certificate" in str(error).lower():
            remedy = "name the authority that signed it: PREFECT_API_SSL_CERT_FILE"
            return _Fault(f"has a certificate that is not trusted: {error}", remedy)
        return _Fault(f"does not answer: {error}", START, answers=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _Fault(f"does not answer: {_reason(error)}", f"{START}, or {correct}", answers=False)
    except ValueError:
        return _Fault("answers, but not as a Prefect server", correct)
    if not isinstance(version, str):
        return _Fault("answers, but not as a Prefect server", correct)
    own = prefect.__version__
    if version.split(".")[0] != own.split(".")[0]:
        return _Fault(f"is a Prefect server of version {version}", f"start one of this environment's version, {own}")
    return None


def _client(url: str) -> SyncPrefectClient:
    settings = get_current_settings()
    # What get_client gives, but for another address.
    return SyncPrefectClient(
        url,
        auth_string=settings.api.auth_string.get_secret_value() if settings.api.auth_string else None,
        api_key=settings.api.key.get_secret_value() if settings.api.key else None,
        httpx_settings={"timeout": _SECONDS_TO_ANSWER},
    )


def _greeting(client: SyncPrefectClient) -> str:
    """Prefect Cloud, which is of every version, has answered."""
    if error := client.api_healthcheck():
        raise error
    return prefect.__version__


def _refused(url: str, found: str, expected: str, better: str) -> InputError:
    remedy = f"set {VARIABLE}={_masked(better)}, or {_leave()}"
    return InputError(VARIABLE, f"{_shown(url)} {found}", expected, remedy)


def _shown(url: str) -> str:
    """The address, and where it stands if not in the environment, where anyone would look first."""
    return _masked(url) + ("" if os.environ.get(VARIABLE) else " (from Prefect's profile or settings file)")


def _masked(url: str) -> str:
    return re.sub(r"://[^/]*@", "://***@", url)


def _leave() -> str:
    return WITHOUT if os.environ.get(VARIABLE) else f"forget it: prefect config unset {VARIABLE}; or {WITHOUT}"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
