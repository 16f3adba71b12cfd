"""Lists that were written as text: by JSON, by Python (lists, tuples, sets) or by numpy."""

from __future__ import annotations

import ast
import json
import re

OPENING = r"""(?i)^\s*(\[|array\(|(frozen)?set\(|[({]\s*[bru]?['"])"""
"""How a cell begins that is a list, for regular expressions of Python and of arrow."""

_WRAPPED = re.compile(r"(?:array|set|frozenset)\((.*?)(?:,\s*dtype=[\w'<>]+)?\)", re.DOTALL)
_ITEM = re.compile(
    r"""\s*(?P<type>np\.\w+\()?(?P<item>
      [bu]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | [-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)? | True | False
    )(?(type)\))(?=[\s,]|$)""",
    re.VERBOSE | re.DOTALL,
)
_GAP = re.compile(r"(?P<comma>\s*,\s*)|\s+")
_PAIRS = {"[": "]", "(": ")", "{": "}"}


def parse_list(text: str) -> list[str] | list[float] | None:
    """The texts or the numbers of a list, none for a blank text; None if it is no list of either.

    Items are separated by commas, or by blanks and line breaks alone, as numpy writes them; both in one list leave it
    open which texts belong together, and so does an ellipsis. Bytes are read as UTF-8; true and false are 1 and 0.
    """
    text = text.strip()
    if not text:
        return []
    try:
        return _plain(json.loads(text))
    except (ValueError, OverflowError, RecursionError):
        pass
    if wrapped := _WRAPPED.fullmatch(text):
        text = wrapped[1].strip()
    if len(text) < 2 or _PAIRS.get(text[0]) != text[-1]:
        return None
    items = _items(text[1:-1].strip())
    try:
        return None if items is None else _plain([ast.literal_eval(item) for item in items])
    except (ValueError, OverflowError, SyntaxError, MemoryError, RecursionError):
        return None


def _items(text: str) -> list[str] | None:
    """The items of a list as they are written, None if anything else is among them or the gaps differ."""
    items: list[str] = []
    commas: set[bool] = set()
    place = 0
    while place < len(text):
        item = _ITEM.match(text, place)
        if item is None:
            return None
        items.append(item["item"])
        place = item.end()
        if place == len(text):
            break
        gap = _GAP.match(text, place)
        if gap is None:
            return None
        place = gap.end()
        if place < len(text):
            commas.add(gap["comma"] is not None)
    return items if len(commas) < 2 else None


def _plain(content: object) -> list[str] | list[float] | None:
    if not isinstance(content, list):
        return None
    content = [item.decode() if isinstance(item, bytes) else item for item in content]
    if all(isinstance(item, str) for item in content):
        # Half of a surrogate pair is a string in Python, and no text anywhere else.
        "".join(content).encode()
        return content
    if all(isinstance(item, (int, float)) for item in content):
        return [float(item) for item in content]
    return None
