"""Names in CSV files that people open: no spreadsheet runs one as a formula, and a program reads back each exactly.

A name that begins with =, +, -, @, a tab or a line end is written with an apostrophe before it, as spreadsheets mark
text; so is one in which only apostrophes precede such a sign, which makes the mark one that can be taken off again.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bmix.support.files import replaced

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
NAMES = ("class",)
"""The columns that hold names."""


def guarded(name: str) -> str:
    """The name as a cell that no spreadsheet takes for a formula."""
    return f"'{name}" if _FORMULA.match(name) else name


def unguarded(cell: str) -> str:
    """The name that `guarded` made the cell from."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_named_csv(path: Path, frame: pd.DataFrame, names: Sequence[str] = NAMES) -> None:
    """Write a table as `write_csv` does, the columns in `names` guarded."""
    cells = frame.assign(**{column: frame[column].map(guarded) for column in names})
    # Left to itself the writer does not quote a carriage return, which for a reader ends the line.
    returns = any("\r" in cell for column in names for cell in cells[column])
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    with replaced(path) as temporary:
        cells.to_csv(temporary, index=False, lineterminator="\n", na_rep="nan", quoting=quoting)


def read_named_csv(path: Path, names: Sequence[str] = NAMES) -> pd.DataFrame:
    """Read what `write_named_csv` wrote: names as they were, NA, None, 007 and 1e3 too; `nan` elsewhere is a NaN."""
    import pandas as pd

    with path.open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file), [])
    missing = {column: ["nan", ""] for column in columns if column not in names}
    frame = pd.read_csv(path, dtype=dict.fromkeys(names, str), keep_default_na=False, na_values=missing)
    return frame.assign(**{column: frame[column].map(unguarded) for column in names})
