"""Files that are whole or not there: every write goes to a temporary name and replaces its target at once."""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any failure it is removed.

    What a process that was killed left of the same is removed too; of a folder that several machines or containers
    write to, only one may write the same path at a time. A full disk is an OSError that names `path`.
    """
    with _temporary(path) as temporary:
        yield temporary
        os.replace(temporary, path)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yield a new temporary folder beside `path`; on success it takes the place of `path` and all it held.

    Otherwise as `replaced`.
    """
    with _temporary(path) as temporary:
        temporary.mkdir()
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A path beside `path` where there is nothing, named by the process, and removed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if not _is_alive(left.name.split(".")[-2]):
            _remove(left)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _remove(temporary)
    try:
        yield temporary
    except OSError as error:
        # The system does not tell which file it had no room for.
        if error.errno in _NO_ROOM and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        _remove(temporary)


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OverflowError, OSError):
        # A name that no process here gave, or a process of another user.
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON; NaN and infinity are refused (ValueError), since other readers cannot take them."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read one JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_parquet(path: Path, frame: pd.DataFrame, schema: pyarrow.Schema | None = None) -> None:
    """Write a table without its index; equal tables give equal bytes. A schema types columns whose values cannot."""
    with replaced(path) as temporary:
        frame.to_parquet(temporary, index=False, compression="zstd", schema=schema)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table without its index; floats in their shortest exact form.

    Missing numbers are written as nan: of empty cells the plots of DVC make zeros.
    """
    with replaced(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n", na_rep="nan")
