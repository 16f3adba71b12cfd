"""What each class turns into: the matrix of class-dependent label noise, as a CSV and as an array."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NoReturn

import numpy as np

from bmix.support.errors import InputError, nearest, quoted

TOLERANCE = 1e-6
"""How far the shares of a row may sum from 1."""


def read_matrix(path: Path, classes: list[str]) -> np.ndarray:
    """Read what each class turns into, float64 (K, K) in the order of `classes`.

    The CSV (UTF-8, comma) has the header `class,NAME,...` and a row per class, both in any order: the class, then the
    share of its positives that turn into each class of the header, in [0, 1]; the share that stays is under the class's
    own name, and a row sums to 1 within TOLERANCE. Raises InputError with the line for a file that is missing, not
    UTF-8 or empty, a class that is missing, unknown or duplicated, in the header or as a row, a row of another length,
    a cell that is not a number from 0 to 1, and a row of another sum.
    """
    lines = _lines(path)
    header_line, header = lines[0]
    if header[0] != "class":
        _refuse(
            path, header_line, f'the first cell is "{header[0]}"', '"class"', "start the header with class,NAME,..."
        )
    names = header[1:]
    _refuse_other_classes([(header_line, name) for name in names], classes, path, "column")
    _refuse_other_classes([(line, cells[0]) for line, cells in lines[1:]], classes, path, "row")
    matrix_KK = np.zeros((len(classes), len(classes)))
    columns = [classes.index(name) for name in names]
    for line, cells in lines[1:]:
        if len(cells) != len(header):
            _refuse(
                path, line, f"{len(cells)} cells", f"{len(header)}, as in the header", "complete or shorten the row"
            )
        shares = [_share(text, name, path, line) for text, name in zip(cells[1:], names, strict=True)]
        if abs(sum(shares) - 1) > TOLERANCE:
            found = f'the row of "{cells[0]}" sums to {sum(shares):.7g}'
            _refuse(path, line, found, "1", "correct a share; what is left of 1 belongs under the class's own name")
        matrix_KK[classes.index(cells[0]), columns] = shares
    return matrix_KK


def checked_matrix(matrix: np.ndarray | None, classes: int) -> np.ndarray:
    """The matrix as float64 (K, K); InputError if it is missing, of another shape, or its rows are not shares."""
    where, remedy = "noise matrix", "pass what each class turns into, the share that stays on the diagonal"
    if matrix is None:
        raise InputError(where, "None", "a matrix for kind class-dependent", remedy)
    matrix_KK = np.asarray(matrix, dtype=np.float64)
    if matrix_KK.shape != (classes, classes):
        raise InputError(
            where, f"shape {matrix_KK.shape}", f"a row and a column per class, {(classes, classes)}", remedy
        )
    wrong = np.argwhere(~((matrix_KK >= 0) & (matrix_KK <= 1)))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise InputError(
            f"{where}, row {row}, column {column}", f"{matrix_KK[row, column]:.7g}", "a share from 0 to 1", remedy
        )
    sums_K = matrix_KK.sum(axis=1)
    off = np.flatnonzero(np.abs(sums_K - 1) > TOLERANCE)
    if len(off):
        raise InputError(f"{where}, row {off[0]}", f"the shares sum to {sums_K[off[0]]:.7g}", "1", remedy)
    return matrix_KK


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """The rows with a cell in them, stripped, each with the number of its line; the first is the header."""
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise InputError(f"noise.matrix, {path}", what, "a CSV of what each class turns into", "correct noise.matrix")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        _refuse(path, line, f"byte {error.object[error.start]:#04x} is not UTF-8", "UTF-8 text", "save it as UTF-8")
    except csv.Error as error:
        _refuse(path, reader.line_num, str(error), "a CSV with commas", "correct the line")
    lines = [(line, cells) for line, cells in rows if any(cells)]
    if not lines:
        _refuse(path, 1, "the file is empty", "a header class,NAME,... and a row per class", "write the matrix")
    return lines


def _refuse_other_classes(found: list[tuple[int, str]], classes: list[str], path: Path, kind: str) -> None:
    """Refuse names that are not the classes, each once."""
    seen: dict[str, int] = {}
    for line, name in found:
        if name not in classes:
            remedy = f"correct or remove the {kind}.{nearest(name, classes)}"
            _refuse(path, line, f'{kind} "{name}" is not in the class list', f"one of {quoted(classes)}", remedy)
        if name in seen:
            once = f'{kind} "{name}" is already in line {seen[name]}'
            _refuse(path, line, once, f"one {kind} per class", "remove one of the two")
        seen[name] = line
    missing = [name for name in classes if name not in seen]
    if missing:
        line = found[-1][0] if found else 1
        _refuse(path, line, f"no {kind} for {quoted(missing)}", f"a {kind} per class", f"add the {kind}")


def _share(text: str, name: str, path: Path, line: int) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        _refuse(
            path, line, f'column "{name}": "{text}"', "a number from 0 to 1", "write the share with a decimal point"
        )
    return share


def _refuse(path: Path, line: int, found: str, expected: str, remedy: str) -> NoReturn:
    raise InputError(f"{path}, line {line}", found, expected, remedy)
