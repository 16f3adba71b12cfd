"""The report in a headless Chromium: on a desk, on a phone, on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.browser import HANG, chromium
from tests.helpers.evaluation_example import make_example
from tests.helpers.report_example import write_report

pytestmark = pytest.mark.slow
NAMES = ["<b>cat</b>", "<script>alert(1)</script>", "黒猫 & co", "a" * 60]


def test_the_page_works_on_a_desk_on_a_phone_and_on_paper(tmp_path: Path) -> None:
    page_file = write_report(make_example(classes=4, images=120, names=NAMES), tmp_path)
    address = page_file.as_uri()
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(HANG)
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        for width in (1400, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(address)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            broken = "[...document.images].filter((image) => !image.complete || !image.naturalWidth).length"
            assert page.evaluate(broken) == 0
            assert page.locator("img").count() > 10
        assert page.locator("b").count() == 0
        _sorts(page)
        paper = page.pdf(format="A4")
        assert paper.startswith(b"%PDF-")
        pages = paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ") + paper.count(b"/Type /Page>")
        assert 2 <= pages <= 20
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address] * 2

    # Without its script the tables stand as they were written, and headings are no buttons.
    with chromium() as browser:
        page = browser.new_context(java_script_enabled=False).new_page()
        page.goto(address)
        assert page.locator("th button").count() == 0
        assert page.locator("table.sortable tbody tr").count() > 4


def _sorts(page) -> None:
    """The last table sorts by a number and by a name, with the keyboard, both ways round."""
    table = page.locator("table.sortable").last
    given = [heading.strip() for heading in table.locator("th").all_inner_texts()].index("given")
    cells = f"tbody td:nth-child({given + 1})"
    heading = table.locator("th button").nth(given)
    heading.focus()
    page.keyboard.press("Enter")
    falling = [int(text.replace(",", "")) for text in table.locator(cells).all_inner_texts()]
    assert falling == sorted(falling, reverse=True)
    assert table.locator("th").nth(given).get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    rising = [int(text.replace(",", "")) for text in table.locator(cells).all_inner_texts()]
    assert rising == sorted(falling)
    table.locator("th button").first.click()
    names = table.locator("tbody td:nth-child(1)").all_inner_texts()
    assert len(names) == len(NAMES)
    assert table.locator("th[aria-sort]").count() == 1
