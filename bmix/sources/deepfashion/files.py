"""The text files of DeepFashion: a declared count, a header, and lines of values, up to 289,222 lines of 1,000."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bmix.sources.table.files import encoding_error
from bmix.support.errors import InputError

BATCH_BYTES = 8_000_000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NEW_LINE, _MINUS, _ZERO, _ONE = b"\n-01"
_BLANKS = np.frombuffer(b" \t\r\n", np.uint8)


@dataclass(frozen=True)
class Batch:
    """Some lines of a file without line ends, and the number of each from 1."""

    path: Path
    lines: list[bytes]
    numbers: range


class FileLines:
    """The rows of a file in batches, after its count and header where it has them. Blank lines at its end are none.

    header: the first word of the second line; None for a file of rows alone.
    """

    def __init__(self, path: Path, header: str | None) -> None:
        self.path, self.header = path, header
        self.declared = 0

    def batches(self) -> Iterator[Batch]:
        """All rows; InputError for a file without its count or header, or not readable."""
        try:
            with self.path.open("rb") as file:
                number = 1
                if self.header is not None:
                    first = file.readline().removeprefix(_BYTE_ORDER_MARK).strip()
                    second = file.readline().split()
                    self._read_head(first, second[0] if second else b"")
                    number = 3
                blanks: list[bytes] = []
                while lines := file.readlines(BATCH_BYTES):
                    lines = [*blanks, *(line.rstrip(b"\r\n") for line in lines)]
                    if number == 1:
                        lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
                    end = next((end for end in range(len(lines), 0, -1) if lines[end - 1].strip()), 0)
                    lines, blanks = lines[:end], lines[end:]
                    if lines:
                        yield Batch(self.path, lines, range(number, number + len(lines)))
                    number += len(lines)
        except OSError as error:
            raise InputError(str(self.path), f"not readable: {error}", "a file of text", "check it") from error

    def _read_head(self, first: bytes, second: bytes) -> None:
        if not first.isdigit() or len(first) > 12:
            raise InputError(
                f"{self.path}, line 1", _shown(first), "the number of rows that follow", "unpack the file anew"
            )
        if second != (self.header or "").encode():
            raise InputError(
                f"{self.path}, line 2", _shown(second), f"a header that starts with {self.header}", "unpack it anew"
            )
        self.declared = int(first)

    def refuse_other_count(self, count: int) -> None:
        """InputError if the first line declares another count than the rows that were read."""
        if count != self.declared:
            raise InputError(
                f"{self.path}, line 1",
                f"declares {self.declared} rows, and {count} follow",
                "the number of rows that follow",
                "unpack the file anew; part of it may be missing",
            )


def declared_rows(path: Path, header: str) -> list[tuple[int, str]]:
    """The number and text of each row of a small file with count and header; InputError for what FileLines refuses."""
    lines = FileLines(path, header)
    rows = [
        (number, _text(path, line))
        for batch in lines.batches()
        for number, line in zip(batch.numbers, batch.lines, strict=True)
    ]
    lines.refuse_other_count(len(rows))
    return rows


def list_lines(path: Path) -> list[str]:
    """The image paths of a file with one per line; InputError for a blank line between them."""
    names = []
    for batch in FileLines(path, None).batches():
        for number, line in zip(batch.numbers, batch.lines, strict=True):
            name = _text(path, line).strip()
            if not name:
                raise InputError(f"{path}, line {number}", "a blank line", "an image path", "remove the line")
            names.append(name)
    return names


def attribute_values(batch: Batch, columns: int, allowed: tuple[int, ...], named: bool) -> tuple[list[str], np.ndarray]:
    """The image paths that start the lines, where they are named, and the values, int8 (lines, columns).

    allowed: 0 and 1, and -1 where unknown values exist. Raises InputError for a line with another number of values, or
    with a value that is not allowed.
    """
    parts = [line.split(None, 1) for line in batch.lines] if named else [[b"", line] for line in batch.lines]
    rests = [part[1] if len(part) == 2 else b"" for part in parts]
    values = _parse(b"\n".join(rests) + b"\n", len(rests), columns, -1 in allowed)
    if values is None:
        raise _fault(batch, rests, columns, allowed)
    return [_text(batch.path, part[0]) if part else "" for part in parts] if named else [], values


def _parse(text: bytes, rows: int, columns: int, negative: bool) -> np.ndarray | None:
    """Values of 0, 1 and, if negative, -1 between blanks; None if the text is anything else."""
    characters = np.frombuffer(text, np.uint8)
    is_one = characters == _ONE
    is_digit = is_one | (characters == _ZERO)
    is_minus = characters == _MINUS
    is_blank = np.isin(characters, _BLANKS, kind="table")
    if not (is_digit | is_minus | is_blank).all() or (is_minus.any() and not negative):
        return None
    # A value ends at a blank, -1 is the one value with a sign, and every line has as many values as the others.
    after_minus = np.concatenate([[False], is_minus[:-1]])
    if (is_minus[:-1] & ~is_one[1:]).any() or (~is_blank[1:] & is_digit[:-1]).any():
        return None
    ends = np.flatnonzero(characters == _NEW_LINE)
    if len(ends) != rows or (np.diff(np.cumsum(is_digit, dtype=np.int64)[ends], prepend=0) != columns).any():
        return None
    values = is_one[is_digit].astype(np.int8)
    values[after_minus[is_digit]] = -1
    return values.reshape(rows, columns)


def _fault(batch: Batch, rests: list[bytes], columns: int, allowed: tuple[int, ...]) -> InputError:
    texts = {str(value).encode() for value in allowed}
    for number, rest in zip(batch.numbers, rests, strict=True):
        values = rest.split()
        where = f"{batch.path}, line {number}"
        if wrong := [position for position, value in enumerate(values) if value not in texts]:
            return InputError(
                where,
                f"{_shown(values[wrong[0]])} for attribute {wrong[0] + 1}",
                f"one of {', '.join(str(value) for value in sorted(allowed))}",
                "correct the value, or unpack the file anew",
            )
        if len(values) != columns:
            return InputError(
                where,
                f"{len(values)} values",
                f"{columns}, the number of attributes",
                "unpack the files anew; they must come from one release",
            )
    return InputError(str(batch.path), "a character that is no value", "values between blanks", "unpack it anew")


def _text(path: Path, line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise encoding_error(path) from error


def _shown(text: bytes) -> str:
    return f'"{text[:40].decode("utf-8", "replace")}"'
