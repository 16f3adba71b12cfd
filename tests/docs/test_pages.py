"""Pages that can be read in an editor, and whose links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, blocks_of
from tests.helpers.tiny import REPOSITORY

LONGEST = 120
VERBATIM = ("text", "mermaid")
"""Languages of blocks whose lines stand as they were printed."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_are_short_but_for_rows_of_tables_and_what_was_printed(page: Path) -> None:
    printed = {line for block in blocks_of(page) if block.language in VERBATIM for line in block.text.splitlines()}
    long = [
        f"{page.name}:{number}: {len(line)} columns"
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
        if len(line) > LONGEST and not line.startswith("|") and line.strip() not in {text.strip() for text in printed}
    ]
    assert not long


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{page.name} links to {target}"
        assert file.resolve().is_relative_to(REPOSITORY)
        if anchor:
            assert anchor in anchors(file), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """The names by which GitHub reaches the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
