"""Which parts of a source make which split: `data.splits`."""

from __future__ import annotations

from collections.abc import Iterable

from bmix.data.manifest import SPLIT_NAMES, SPLIT_PATTERN
from bmix.support.errors import InputError, nearest, quoted

AUTO = "auto"
_EXAMPLE = "auto, or e.g. train=train+val test=test"


def parse_splits(text: str) -> dict[str, str]:
    """Part name -> split, in the order written, of e.g. `train=2007-trainval+2012-trainval test=2007-test`.

    Empty for `auto`: the source's own rule. Raises InputError for a pair without `=`, an unknown split, an empty part,
    and a part that is named twice.
    """
    if text.strip() == AUTO:
        return {}
    split_of: dict[str, str] = {}
    for pair in text.split():
        split, equals, parts = pair.partition("=")
        if not equals:
            raise InputError("data.splits", f'"{pair}" has no "="', _EXAMPLE, "write SPLIT=PART or SPLIT=PART+PART")
        if not SPLIT_PATTERN.fullmatch(split):
            raise InputError(
                "data.splits",
                f'unknown split "{split}"',
                "train, val, test, test-NAME (small letters, digits, -) or unlabelled",
                f"correct it.{nearest(split, SPLIT_NAMES)}",
            )
        for part in parts.split("+"):
            if not part or part in split_of:
                found = f'part "{part}" is named twice' if part else f'an empty part in "{pair}"'
                raise InputError("data.splits", found, _EXAMPLE, "name each part once")
            split_of[part] = split
    return split_of


def refuse_unknown_parts(split_of: dict[str, str], available: Iterable[str], where: str) -> None:
    """InputError if `data.splits` asks for a part that the source at `where` does not have."""
    available = list(available)
    for part in split_of:
        if part not in available:
            raise InputError(
                "data.splits",
                f'part "{part}" is not in {where}',
                f"one of {quoted(available)}" if available else "a source with parts",
                f"correct data.splits, or set it to auto.{nearest(part, available)}",
            )
