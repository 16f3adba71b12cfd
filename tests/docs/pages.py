"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.tiny import REPOSITORY

PAGES = [
    *(path for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md") if (path := REPOSITORY / name).exists()),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- not run: (.+?) -->\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of a page: its language, its text, and why it is not run, '' if nothing says so."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"

    def commands(self) -> list[str]:
        """The commands of a shell block, continued lines joined, comments and output left out."""
        joined = self.text.replace("\\\n", " ")
        lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines()]
        return [part.strip() for line in lines for part in re.split(r";|&&", line) if part.strip()]


def blocks_of(page: Path) -> list[Block]:
    """Every block between lines of three backticks."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        mark = _MARK.search(text, 0, match.start())
        indent, language, content = match.groups()
        content = "\n".join(line.removeprefix(indent) for line in content.splitlines())
        found.append(Block(page, text.count("\n", 0, match.start()) + 1, language, content, mark[1] if mark else ""))
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
