"""The one error for what a person gave and what cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Unusable input: where it stands, what was found there, what was expected, and how to fix it."""

    def __init__(self, where: str, found: str, expected: str, remedy: str) -> None:
        self.where, self.found, self.expected, self.remedy = where, found, expected, remedy
        super().__init__(f"{where}: {found}\n  expected: {expected}\n  fix: {remedy}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str, str]]:
        return type(self), (self.where, self.found, self.expected, self.remedy)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is spelt most alike, as ' Did you mean "x"?', or '' where none is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{close[0]}"?' if close else ""
