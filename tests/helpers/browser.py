"""A headless Chromium for tests of pages; without one they are skipped, and say why."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HANG = 30 * 60 * 1000
"""Milliseconds; a guard against waiting for ever, on however busy a machine."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, or the test is skipped."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no program chromium, e.g. of Debian's package chromium")
    api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"], timeout=HANG)
        try:
            yield browser
        finally:
            browser.close()
