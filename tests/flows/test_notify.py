"""Webhooks that Prefect calls when a night is rejected or fails."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bmix.support.errors import InputError
from flows import night, notify
from tests.helpers.daemons import prefect_server as own_server
from tests.helpers.projects import HANG_SECONDS, run
from tests.helpers.tiny import REPOSITORY


@contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a webhook on this machine, and the calls that it got."""
    calls: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            calls.append({"path": self.path, "token": self.headers["Authorization"], **content})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook/planted-url", calls
        finally:
            server.shutdown()
            thread.join()


def test_the_states_that_are_told_are_those_of_nights() -> None:
    assert {*notify.TOLD, notify.PROMOTED} == set(night.ENDS) - {"NothingNew", "Cancelled"}


def test_an_address_is_checked_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "check_server", lambda needed: None)
    for address, found in (("", "is not set"), ("hooks.example.org/planted", "is no address of http or https")):
        monkeypatch.setenv(notify.URL, address)
        with pytest.raises(InputError) as caught:
            notify.main()
        assert (caught.value.where, caught.value.found) == (notify.URL, found)
        assert "planted" not in str(caught.value)


def test_the_webhook_is_kept_by_prefect_and_forgotten(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from prefect.blocks.webhook import Webhook
    from prefect.client.orchestration import get_client

    monkeypatch.setenv(notify.URL, "http://127.0.0.1:9/planted-url")
    for promoted in (False, True):
        notify.notify(promoted)
        with get_client(sync_client=True) as client:
            (automation,) = client.read_automations_by_name(notify.NAME)
        states = {event.removeprefix("prefect.flow-run.") for event in automation.trigger.expect}
        assert states == {*notify.TOLD, *([notify.PROMOTED] if promoted else [])}
    block = Webhook.load(notify.BLOCK)
    assert block.url.get_secret_value() == "http://127.0.0.1:9/planted-url"
    assert "planted" not in repr(block) + capsys.readouterr().out
    notify.forget()
    with get_client(sync_client=True) as client:
        assert client.read_automations_by_name(notify.NAME) == []
    notify.forget()
    assert "nothing was told" in capsys.readouterr().out


CHILD = """
from prefect import flow
from prefect.states import State, StateType

@flow(name="bmix-night", flow_run_name="2026-01-02 03:04 · rejected")
def night(kind: str, name: str):
    return State(type=StateType(kind), name=name, message='rejected by data gate: "owl" gone')

@flow(name="other", flow_run_name="another flow")
def other():
    return State(type=StateType.FAILED, name="Failed", message="not of a night")

other(return_state=True)
for name in ("Promoted", "NothingNew", "RejectedByDataGate", "Failed"):
    night("COMPLETED" if name in ("Promoted", "NothingNew") else "FAILED", name, return_state=True)
"""


@pytest.mark.exhaustive
@pytest.mark.pipeline
def test_a_listener_is_told_of_nights_that_were_rejected_and_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / ".prefect"), "PYTHONPATH": str(REPOSITORY)}
    (tmp_path / "nights.py").write_text(CHILD, encoding="utf-8")
    with own_server(tmp_path) as api, listening() as (address, calls):
        names = {"PREFECT_API_URL": api, notify.URL: address, notify.TOKEN: "planted-token"}
        environment |= names
        told = run(tmp_path, "-m", "flows.notify", **environment)
        assert told.returncode == 0, told.stdout
        assert "127.0.0.1 is told of nights that end as RejectedByDataGate" in told.stdout
        ended = run(tmp_path, "nights.py", **environment)
        assert ended.returncode == 0, ended.stdout
        deadline = time.monotonic() + HANG_SECONDS
        while len(calls) < 2:
            assert time.monotonic() < deadline, (tmp_path / "server.log").read_text()
            time.sleep(0.2)
        # What must not be told would have come before or with these.
        time.sleep(2)
    assert [call["state"] for call in calls] == ["RejectedByDataGate", "Failed"]
    assert calls[0]["night"] == "2026-01-02 03:04 · rejected"
    assert calls[0]["message"] == 'rejected by data gate: "owl" gone'
    assert calls[0]["text"] == f"bmix night {calls[0]['night']}\n{calls[0]['message']}"
    assert calls[0]["token"] == "Bearer planted-token"
    assert "planted" not in told.stdout + ended.stdout + (tmp_path / "server.log").read_text()
