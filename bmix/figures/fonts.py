"""Fonts for class names in every script: DejaVu Sans, which is part of matplotlib, then what this machine has.

What a figure looks like whose names DejaVu Sans cannot show depends on the fonts of the machine, and on no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry

FONT = "DejaVu Sans"
# Families of plain shapes and many scripts, before others that may hold a sign by chance.
_PREFERRED = ("Noto Sans", "Source Han Sans", "WenQuanYi", "Droid Sans", "Arial Unicode", "Noto Emoji", "Symbola")
_REGULAR = {"normal", "regular", "book", *range(300, 501)}


def families(texts: Iterable[str]) -> list[str]:
    """The font families that show the texts, in the order in which a sign is looked for: DejaVu Sans, and few more."""
    chosen, lacking = [FONT], _beyond_own_font("".join(texts))
    for entry in _others() if lacking else []:
        if found := lacking & _signs(entry.fname):
            chosen.append(entry.name)
            lacking -= found
    return chosen


def drawable(text: str) -> str:
    r"""The text; a sign that no font here can show as \u and its number in hex, by which names stay apart."""
    lacking = _beyond_own_font(text)
    for entry in _others() if lacking else []:
        lacking -= _signs(entry.fname)
    return "".join(_numbered(sign) if ord(sign) in lacking else sign for sign in text)


def _numbered(sign: str) -> str:
    return f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08x}"


def _beyond_own_font(text: str) -> set[int]:
    return {ord(sign) for sign in text if sign not in " \n"} - _signs(_own_file())


@cache
def _own_file() -> str:
    from matplotlib.font_manager import findfont

    return str(findfont(FONT))


def _others() -> list[FontEntry]:
    """The upright regular fonts of the machine, in an order that is the same every time."""
    from matplotlib.font_manager import fontManager

    own = Path(_own_file()).parent
    usable = [
        entry
        for entry in fontManager.ttflist
        if entry.style == "normal" and entry.weight in _REGULAR and Path(entry.fname).parent != own
    ]
    return sorted(usable, key=lambda entry: (not entry.name.startswith(_PREFERRED), entry.name, entry.fname))


@cache
def _signs(file: str) -> frozenset[int]:
    """The numbers of the signs that a font file has; none where matplotlib cannot draw with it."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(file)
        # Fonts of coloured pictures have no outlines to scale.
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError):
        return frozenset()
