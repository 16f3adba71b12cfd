"""Names that are several names in one, found by comparing names, for cells in which no delimiter was found."""

from __future__ import annotations

from collections.abc import Sequence

from bmix.sources.label_cells.rules import delimiter_word
from bmix.support.errors import InputError, quoted

JOINING = ["\n", "\t", " and ", " ", "/", "+", "&", "\\", ";", "|", ",", "，", "；", "、"]
"""What joins names in a cell and seldom stands in a name, but for the blank."""
INSIDE_NAMES = ["_", "-", ".", ":"]
"""What joins names too, and often stands in one."""
SHORTEST_PART = 2


def refuse_two_delimiters(names: Sequence[str], delimiter: str, signs: Sequence[str], where: str) -> None:
    """InputError if names that one delimiter set apart are others, joined by another of these signs."""
    known = set(names)
    for name in names:
        if (sign := joined_at(name, known, signs)) is not None:
            raise InputError(
                where,
                f'"{delimiter}" between the names, and {quoted([name])} beside {quoted(split_at(name, sign))}',
                "one delimiter in the whole file",
                f'replace "{sign}" by "{delimiter}"; where {quoted([name])} is one name, say so in data.delimiter: '
                f"{delimiter_word(delimiter)}",
            )


def refuse_combinations(names: Sequence[str], where: str) -> None:
    """InputError if names of cells without a delimiter are combinations of other names, whatever their case.

    They are where a name holds a line break or a tab; where all parts of one are names themselves, joined by a sign of
    JOINING or INSIDE_NAMES, or written together; where two have the same parts in another order; where there are more
    names than parts to make them of. Names that are whole all the same pass under `data.delimiter: none`.
    """
    # Names that differ in case alone are one here.
    names = list({name.casefold(): name for name in names}.values())
    known = {name.casefold() for name in names}
    for sign in [*JOINING, *INSIDE_NAMES]:
        parts_of = {name: parts for name in names if len(parts := split_at(name.casefold(), sign)) > 1}
        if not parts_of:
            continue
        made = [name for name, parts in parts_of.items() if known.issuperset(parts)]
        # 1.5 and 10-20 are no combinations.
        whole = next((name for name in made if sign in JOINING or not _is_number(parts_of[name])), None)
        if whole is not None or sign in "\n\t":
            shown = whole or next(iter(parts_of))
            beside = [name for name in names if name.casefold() in parts_of[shown]]
            raise _refusal(where, f"{quoted([shown])}" + (f" beside {quoted(beside)}" if beside else ""), sign)
        if sign in JOINING and (found := _reordered(parts_of) or _too_many(known, parts_of)):
            raise _refusal(where, found, sign)
    if glued := next((pair for name in names if (pair := _glued(name.casefold(), known))), None):
        raise _refusal(where, f"{quoted([''.join(glued)])} beside {quoted(glued)}", "")


def joined_at(name: str, known: set[str], signs: Sequence[str] = (*JOINING, *INSIDE_NAMES)) -> str | None:
    """The sign among these that joins known names in this one; None if there is none."""
    for sign in signs:
        parts = split_at(name, sign)
        if len(parts) > 1 and known.issuperset(parts):
            return sign
    return None


def split_at(name: str, sign: str) -> list[str]:
    """The parts of a name between signs, without blanks around them; a blank stands for any number of blanks."""
    parts = name.split() if sign == " " else [part.strip() for part in name.split(sign)]
    return [part for part in parts if part]


def _is_number(parts: list[str]) -> bool:
    return all(part.isdecimal() for part in parts)


def _reordered(parts_of: dict[str, list[str]]) -> str:
    """Two names with the same parts in another order, for the message."""
    first_of: dict[tuple[str, ...], str] = {}
    for name, parts in parts_of.items():
        first = first_of.setdefault(tuple(sorted(parts)), name)
        if parts_of[first] != parts:
            return f"{quoted([first])} and {quoted([name])}, the same parts in another order"
    return ""


def _too_many(known: set[str], parts_of: dict[str, list[str]]) -> str:
    combined = {name.casefold() for name in parts_of}
    parts = {part for split in parts_of.values() for part in split} | (known - combined)
    if len(known) <= len(parts) or len(parts_of) < 3:
        return ""
    return f"{len(known)} names made of {len(parts)} parts, e.g. {quoted(list(parts_of)[:3])}"


def _glued(name: str, known: set[str]) -> list[str]:
    """Two known names that make up this one without anything between them; none of numbers, which are so by nature."""
    if not name.isdecimal():
        for place in range(SHORTEST_PART, len(name) - SHORTEST_PART + 1):
            if name[:place] in known and name[place:] in known:
                return [name[:place], name[place:]]
    return []


def _refusal(where: str, found: str, sign: str) -> InputError:
    apart = (
        f"where these are several names each, set data.delimiter to {delimiter_word(sign)}"
        if sign
        else "write the names of a cell apart, as cat;dog"
    )
    return InputError(
        where,
        f"one class for each whole cell gives {found}",
        "one name in each cell, or names joined by ; | or ,",
        f"{apart}; where each is one name, set data.delimiter to none",
    )
