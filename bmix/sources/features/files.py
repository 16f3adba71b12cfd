"""A file of features, in either of its two formats, opened as a Pack."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from bmix.sources.class_list import ClassList
from bmix.sources.features.npz_pack import open_npz_pack
from bmix.sources.features.pack import Pack
from bmix.sources.features.parquet_pack import open_parquet_pack
from bmix.sources.label_cells import CellRules
from bmix.support.errors import InputError

_OPENERS = {".npz": open_npz_pack, ".parquet": open_parquet_pack}


def open_pack(path: Path, rules: CellRules, listed: ClassList | None) -> AbstractContextManager[Pack]:
    """Open an .npz or .parquet of features; inside the block every fault of the file is an InputError.

    rules: how cells are read. listed: the classes that the user listed, None if nobody did.
    """
    if not path.is_file():
        raise InputError("data.path", f"{path} is not a file", "an .npz or .parquet of features", "correct data.path")
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        raise InputError("data.path", f"{path} is no .npz and no .parquet", "a file of features", "correct data.path")
    return opener(path, rules, listed)
