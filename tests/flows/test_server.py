"""Addresses of Prefect servers: each fault is told with a remedy that fits it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import prefect
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from bmix.support.errors import InputError
from flows.server import VARIABLE, check_server, server_errors_told, warn_of_forgotten_leases

Answer = Callable[[str], tuple[int, str]]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """The address of a server that answers a path with a status and a text."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = answer(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def prefect_answers(path: str) -> tuple[int, str]:
    """As Prefect's own server: its API below /api, and a page for people everywhere else."""
    return (200, json.dumps(prefect.__version__)) if path == "/api/admin/version" else (200, "<html>")


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], AbstractContextManager[None]]:
    @contextmanager
    def named(url: str) -> Iterator[None]:
        monkeypatch.setenv(VARIABLE, url)
        with temporary_settings({PREFECT_API_URL: url}):
            yield

    return named


def refusal(needed: bool = False) -> InputError:
    with pytest.raises(InputError) as caught:
        check_server(needed)
    assert caught.value.where == VARIABLE
    return caught.value


def test_a_server_that_answers_is_fit_for_use(named: Callable[[str], AbstractContextManager[None]]) -> None:
    with serving(prefect_answers) as address, named(f"{address}/api"):
        check_server(needed=True)


def test_a_schedule_without_a_server_says_how_to_start_one() -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        check_server(needed=False)
        assert "prefect server start --host 127.0.0.1" in refusal(needed=True).remedy


def test_an_address_where_nothing_answers_is_refused_with_the_way_to_do_without(
    named: Callable[[str], AbstractContextManager[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with named("http://me:secret@127.0.0.1:9/api"):
        fault = refusal()
        assert fault.found.startswith("http://***@127.0.0.1:9/api does not answer: ")
        assert fault.remedy.endswith("or run once without a server: PREFECT_API_URL= python -m flows.pipeline")
        monkeypatch.delenv(VARIABLE)
        assert "(from Prefect's profile or settings file) does not answer" in refusal().found
        assert "prefect config unset PREFECT_API_URL" in refusal().remedy


def test_what_an_address_lacks_is_told(named: Callable[[str], AbstractContextManager[None]]) -> None:
    with named("127.0.0.1:4200/api"):
        assert refusal().remedy.startswith("set PREFECT_API_URL=http://127.0.0.1:4200/api, or ")
    with serving(prefect_answers) as address, named(address):
        assert "is the page of a Prefect server, not its API" in refusal().found
        assert refusal().remedy.startswith(f"set PREFECT_API_URL={address}/api, or ")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (lambda path: (401, "{}"), "does not let us in (401)"),
        (lambda path: (404, "{}"), "answers with 404, as no Prefect server does"),
        (lambda path: (200, "hello"), "answers, but not as a Prefect server"),
        (lambda path: (200, '{"version": 3}'), "answers, but not as a Prefect server"),
        (lambda path: (200, '"2.20.1"'), "is a Prefect server of version 2.20.1"),
    ],
)
def test_another_server_is_refused(
    answer: Answer, found: str, named: Callable[[str], AbstractContextManager[None]]
) -> None:
    with serving(answer) as address, named(f"{address}/api"):
        assert refusal().found == f"{address}/api {found}"


def warned(settings: str, named: Callable[[str], AbstractContextManager[None]]) -> None:
    with serving(lambda path: (200, settings)) as address, named(f"{address}/api"):
        warn_of_forgotten_leases()


def test_leases_in_the_memory_of_the_server_are_warned_of(
    named: Callable[[str], AbstractContextManager[None]], capsys: pytest.CaptureFixture[str]
) -> None:
    for storage in ("memory", "filesystem"):
        place = f"prefect.server.concurrency.lease_storage.{storage}"
        warned(json.dumps({"server": {"concurrency": {"lease_storage": place}}}), named)
        told = capsys.readouterr().err
        assert ("lease_storage.filesystem" in told) == (storage == "memory")
    # As Prefect Cloud, which shows no settings.
    for settings in ("<html>", "{}", "[]"):
        warned(settings, named)
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadError("gone"),
        RuntimeError("Timed out while attempting to connect to ephemeral Prefect API server."),
    ],
)
def test_a_server_that_goes_away_is_told_without_a_traceback(error: Exception) -> None:
    with pytest.raises(ConnectionError) as caught, server_errors_told():
        raise error
    assert caught.value.strerror.startswith("Prefect's server cannot be reached")


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="ours"), server_errors_told():
        raise RuntimeError("ours")
