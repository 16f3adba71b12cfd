"""The one error for what a person gave and what cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN = 8
"""How many names a message lists before it only counts the rest."""
LONGEST_NAME = 100
"""Characters of a name that a message shows."""
HINT = " Did you mean "
"""What a hint at the nearest known name begins with."""
LONGEST_PART = 2000
"""Characters of what was found, or expected, that a message shows, whatever was read."""


class InputError(ValueError):
    """Unusable input: where it stands, what was found there, what was expected, and how to fix it."""

    def __init__(self, where: str, found: str, expected: str, remedy: str) -> None:
        self.where, self.found, self.expected, self.remedy = where, found, expected, remedy
        told = [shortened(part, LONGEST_PART) for part in (where, found, expected, remedy)]
        super().__init__("{}: {}\n  expected: {}\n  fix: {}".format(*told))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str, str]]:
        return type(self), (self.where, self.found, self.expected, self.remedy)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is spelt most alike, as ' Did you mean "x"?', or '' where none is near."""
    # What takes as long as the square of its length is done for names, not for whole files.
    close = difflib.get_close_matches(name[: 2 * LONGEST_NAME], list(known), n=1, cutoff=0.5)
    return f'{HINT}"{close[0]}"?' if close else ""


def listed(parts: Iterable[str], shown: int = SHOWN) -> str:
    """The first parts of a message, joined by commas; the rest is only counted, as in `a, b and 3 more`."""
    parts = list(parts)
    rest = f" and {len(parts) - shown} more" if len(parts) > shown else ""
    return ", ".join(parts[:shown]) + rest


def quoted(names: Iterable[str]) -> str:
    """The first names in quotes, long ones cut, and how many more there are."""
    return listed(f'"{shortened(name)}"' for name in names)


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """A name as a message shows it: what is over `longest` characters is cut off and counted."""
    if len(name) <= longest:
        return name
    return f"{name[:longest]}… ({len(name):,} characters)"
