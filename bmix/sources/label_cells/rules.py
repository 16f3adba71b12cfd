"""The settings for cells that can be read in more than one way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bmix.params import DataParams

AUTO, NONE = "auto", "none"
WORDS = {"space": " ", "tab": "\t", "newline": "\n", "comma": ",", "semicolon": ";", "pipe": "|"}
"""Delimiters that are hard to write in a params file or a shell."""


@dataclass(frozen=True)
class CellRules:
    """`data.delimiter`, `no_label`, `minus_one` and `blank_cell`, as bmix/params/data.py describes them."""

    delimiter: str = AUTO
    no_label: str = AUTO
    minus_one: str = AUTO
    blank_cell: str = "ignored"

    @classmethod
    def of(cls, data: DataParams) -> CellRules:
        """The rules in a section `data`."""
        return cls(data.delimiter, data.no_label, data.minus_one, data.blank_cell)

    @property
    def delimiter_text(self) -> str:
        """The characters between names that the params name; '' for auto and none."""
        text = self.delimiter if self.delimiter.isspace() else self.delimiter.strip()
        return "" if text in (AUTO, NONE) else WORDS.get(text, text)


def delimiter_shown(text: str) -> str:
    """A delimiter as a reader sees it."""
    blanks = {" ": "a blank", "\t": "a tab", "\n": "a line break"}
    return blanks.get(text, f'"{text}"')


def delimiter_word(text: str) -> str:
    """How to write a delimiter in the params."""
    return {characters: word for word, characters in WORDS.items()}.get(text, f'"{text}"')
