"""The review in a real browser: keys alone, and a narrow screen that is touched."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bmix.labels.review.queue import build_queue
from bmix.labels.review.server import HOST, build_app
from bmix.labels.review.session import Review
from bmix.labels.run import LabelledRun
from bmix.labels.scored import read_scored
from bmix.support.sockets import open_socket
from tests.helpers.labelled import write_audited

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT = 120_000
"""Milliseconds after which a page counts as hung."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture
def run(tmp_path: Path) -> LabelledRun:
    return write_audited(tmp_path, pictures=400)


@pytest.fixture
def address(run: LabelledRun) -> Iterator[str]:
    import uvicorn

    review = Review(build_queue(run, read_scored(run), 12), run.folder / "answers.jsonl", run.classes)
    files = [run.folder / "images" / path for path in run.manifest.paths("train")]
    server = uvicorn.Server(uvicorn.Config(build_app(review, files, run.classes), log_level="warning"))
    with open_socket(HOST, 0) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join(60)


@pytest.fixture
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def opened(browser: Any, address: str, width: int, faults: list[str], **options: Any) -> Any:
    page = browser.new_context(viewport={"width": width, "height": 844}, **options).new_page()
    page.set_default_timeout(WAIT)
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(address) else faults.append(request.url))
    page.goto(address)
    page.wait_for_selector("#question:not([hidden])")
    return page


def answers(run: LabelledRun) -> list[dict[str, Any]]:
    path = run.folder / "answers.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def press(page: Any, key: str) -> None:
    """Press a key, and wait for the next question."""
    with page.expect_response(lambda response: response.request.method == "POST"):
        page.keyboard.press(key)
    page.wait_for_function("() => !busy")


def test_keys_answer_and_every_answer_is_on_disk_first(run: LabelledRun, address: str, browser: Any) -> None:
    faults: list[str] = []
    page = opened(browser, address, 1400, faults)
    page.wait_for_function("() => document.getElementById('picture').naturalWidth > 0")
    for count, key in enumerate("ars", 1):
        press(page, key)
        assert len(answers(run)) == count
    press(page, "u")
    assert [own["answer"] for own in answers(run)] == ["accept", "reject", "skip", "undo"]
    page.keyboard.press("o")
    page.wait_for_selector("#others:not([hidden])")
    assert page.locator("#list button").count() == 3
    # A class that is written as markup is text.
    assert page.locator("#list b").count() == 0
    assert "<b>owl</b>" in page.locator("#list").inner_text()
    before = page.locator("#list button[aria-pressed=true]").count()
    page.keyboard.type("owl")
    page.keyboard.press("Enter")
    assert abs(page.locator("#list button[aria-pressed=true]").count() - before) == 1
    press(page, "Enter")
    assert answers(run)[-1]["answer"] == "other"
    while page.locator("#question:not([hidden])").count():
        press(page, "r")
    assert "Nothing is left" in page.locator("#end").inner_text()
    assert not faults


def test_a_narrow_screen_is_touched(run: LabelledRun, address: str, browser: Any) -> None:
    faults: list[str] = []
    page = opened(browser, address, 390, faults, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for button in page.locator("nav button").all():
        box = button.bounding_box()
        assert box["height"] >= 44
        assert box["y"] + box["height"] <= 844
    with page.expect_response(lambda response: response.url.endswith("/answer")):
        page.locator("nav button.accept").tap()
    assert [own["answer"] for own in answers(run)] == ["accept"]
    # A second person, at the same time, is asked something else.
    other = opened(browser, address, 1400, faults)
    asked = [own.locator("#file").inner_text() + own.locator("#asked").inner_text() for own in (page, other)]
    assert asked[0] != asked[1]
    assert not faults
