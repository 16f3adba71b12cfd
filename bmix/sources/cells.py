"""The cells of a table or of a file of features, in columns, before they are interpreted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bmix.sources.column_names import is_index


@dataclass(frozen=True)
class Cells:
    """The rows of a file.

    columns: under the names that the file gives them; the columns without a role only if there is no column `labels`,
    and never the index of a pandas table. Cells of CSV and TSV are text, those of JSONL text or lists; those of parquet
    have the types of the file.
    origins: str index named `origin`: the file and the line where a row ends, or its number in parquet.
    names: every column of the file, in its order. roles: role -> column. form: how the file is written, where that is
    not plain, for the notes.
    """

    columns: pa.Table
    origins: pd.Index
    names: list[str]
    roles: dict[str, str]
    form: str = ""
    class_names: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.origins)

    def has(self, role: str) -> bool:
        """Whether a column has this role."""
        return role in self.roles

    def column(self, role: str) -> pa.ChunkedArray:
        """The cells of the column that has this role."""
        return self.columns[self.roles[role]]

    def without(self, role: str) -> Cells:
        """The same cells, of which no column has this role."""
        return replace(self, roles={other: name for other, name in self.roles.items() if other != role})

    def without_role(self) -> list[str]:
        """The columns of the file that have no role and are no index, whether they are here or not."""
        return [name for name in self.names if name not in self.roles.values() and not is_index(name)]

    def others(self) -> list[str]:
        """The columns among them that are here."""
        return [name for name in self.without_role() if name in self.columns.column_names]


def origins(path: Path, unit: str, numbers: np.ndarray) -> pd.Index:
    """Where each row was read, e.g. `labels.csv, line 2`, as a str index named `origin`."""
    # A name that is no UTF-8 is shown with replacement characters.
    prefix = pa.scalar(f"{str(path).encode(errors='replace').decode()}, {unit} ")
    places = pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")
    return pd.Index(places.to_pandas(), dtype="str", name="origin")
