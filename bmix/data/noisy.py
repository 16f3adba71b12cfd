"""The labels that a model is trained on, as the stage noise writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bmix.data.manifest import TRUE, Manifest, quoted, text_schema
from bmix.support.errors import InputError, nearest
from bmix.support.files import replaced
from bmix.support.readers import Column, Made, is_kind

if TYPE_CHECKING:
    import pyarrow

LABELS_FILE = "labels.parquet"
COLUMNS = ["id", "given", "true"]
_MADE = Made.by_stage("the labels that the stage noise writes", "noise")
_ROWS_AT_ONCE = 2**16


def known_truth(manifest: Manifest, kind: str, labels_NK: np.ndarray) -> np.ndarray | None:
    """The true training labels, uint8 (N, K), ignored cells 0; None if they are unknown.

    labels_NK: the labels that noise of this kind is injected into: they are the truth, unless the kind is none; then
    it is what the source itself knows. Raises InputError as `refuse_two_truths`.
    """
    refuse_two_truths(manifest, kind)
    if kind != "none":
        return labels_NK
    true_NK = manifest.true_labels("train")
    if true_NK is not None and (ignored_NK := manifest.ignored_if_any("train")) is not None:
        true_NK[ignored_NK] = 0
    return true_NK


def is_truth_known(manifest: Manifest, kind: str) -> bool:
    """Whether the true training labels are known once noise of this kind is injected."""
    return kind != "none" or TRUE in manifest.frame


def refuse_two_truths(manifest: Manifest, kind: str) -> None:
    """InputError for noise on top of wrong labels, by the source's own truth; ignored cells have no say."""
    true_NK = None if kind == "none" else manifest.true_labels("train")
    if true_NK is None:
        return
    wrong_NK = true_NK != manifest.labels("train")
    if (ignored_NK := manifest.ignored_if_any("train")) is not None:
        wrong_NK &= ~ignored_NK
    if wrong_NK.any():
        raise InputError(
            "params.yaml, noise.kind",
            f"{kind}, and {wrong_NK.sum():,} of the given training labels are wrong already, by the data's true ones",
            "none: the noise of the given labels is the one to be found",
            "set noise.kind to none, or leave the true labels out of the data",
        )


def write_labels(folder: Path, manifest: Manifest, given_NK: np.ndarray, true_NK: np.ndarray | None) -> None:
    """Write `labels.parquet`: id, given and true class names of each training image, in manifest order.

    given_NK, true_NK: 0/1. true_NK None: the truth is unknown, and `true` is null in every row.
    """
    # Training imports this module too, and runs where no parquet is written.
    import pyarrow
    from pyarrow import parquet

    ids = manifest.ids("train")
    schema = text_schema(COLUMNS, {"given", "true"})
    with replaced(folder / LABELS_FILE) as temporary, parquet.ParquetWriter(temporary, schema, compression="zstd") as f:
        for low in range(0, max(len(ids), 1), _ROWS_AT_ONCE):
            rows = slice(low, low + _ROWS_AT_ONCE)
            given = _names(given_NK[rows], manifest.classes)
            true = pyarrow.nulls(len(given), given.type) if true_NK is None else _names(true_NK[rows], manifest.classes)
            f.write_table(pyarrow.table([pyarrow.array(ids[rows], pyarrow.string()), given, true], schema=schema))


def read_labels(folder: Path, manifest: Manifest) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    """Read ids, given labels uint8 (N, K), and true labels uint8 (N, K) or None if the truth is unknown.

    Raises InputError if the file is missing or unreadable, its ids are not the manifest's training ids in order, or
    it names a class that is not the manifest's.
    """
    import pyarrow
    from pyarrow import parquet

    path = folder / LABELS_FILE
    if not path.is_file():
        _MADE.refuse(path, "no such file")
    try:
        _refuse_other_columns(parquet.read_schema(path), path)
        with parquet.ParquetFile(path, read_dictionary=[f"{name}.list.element" for name in COLUMNS[1:]]) as file:
            ids = file.read(["id"])["id"].to_pylist()
            _refuse_other_ids(ids, manifest, path)
            given_NK, true_NK = (np.zeros((len(ids), len(manifest.classes)), np.uint8) for _ in range(2))
            low = unknown = 0
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=COLUMNS[1:]):
                rows = slice(low, low := low + len(batch))
                if batch["given"].null_count:
                    _MADE.refuse(path, "given is null in a row", "a list of class names in each")
                unknown += batch["true"].null_count
                _mark(given_NK[rows], batch["given"], manifest.classes, path)
                _mark(true_NK[rows], batch["true"], manifest.classes, path)
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, LookupError) as error:
        _MADE.refuse(path, f"not readable: {' '.join(str(error).split())[:200]}")
    if 0 < unknown < len(ids):
        _MADE.refuse(path, "true is null in some rows", "in all or in none")
    return ids, given_NK, None if unknown == len(ids) else true_NK


def _refuse_other_columns(schema: pyarrow.Schema, path: Path) -> None:
    if missing := [name for name in COLUMNS if name not in schema.names]:
        _MADE.refuse(path, f"no column {quoted(missing)}", quoted(COLUMNS))
    for name in COLUMNS:
        column = Column("text" if name == "id" else "texts")
        if schema.names.count(name) > 1 or not is_kind(schema.field(name).type, column.kind):
            found = f"{schema.names.count(name)} column {name} of {schema.field(name).type}"
            _MADE.refuse(path, found, f"one, with {column.described} in each row")


def _refuse_other_ids(ids: list[str], manifest: Manifest, path: Path) -> None:
    expected = manifest.ids("train")
    if ids != expected:
        found = f"{len(ids)} ids that are not the manifest's {len(expected)} training ids in its order"
        _MADE.refuse(path, found, "labels that were made from this manifest")


def _names(labels_NK: np.ndarray, classes: list[str]) -> pyarrow.ListArray:
    """0/1 cells (N, K) as an arrow list of class names in column order for each row."""
    import pyarrow

    rows, columns = np.nonzero(labels_NK)
    ends = np.bincount(rows, minlength=len(labels_NK)).cumsum()
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pyarrow.ListArray.from_arrays(offsets, pyarrow.array(classes, pyarrow.string()).take(pyarrow.array(columns)))


def _mark(labels_NK: np.ndarray, lists: pyarrow.ListArray, classes: list[str], path: Path) -> None:
    """Set the cells of zeros (N, K) that an arrow list of class names names, in place; a null names none."""
    import pyarrow

    names = lists.flatten()
    if not pyarrow.types.is_dictionary(names.type):
        names = names.dictionary_encode()
    known = names.dictionary.to_pylist()
    column_of = {name: column for column, name in enumerate(classes)}
    if other := [name for name in known if name not in column_of] or ["null"][: names.null_count]:
        remedy = f"run the stage noise again.{nearest(other[0], classes)}"
        raise InputError(str(path), f'class "{other[0]}" is not in the class list', quoted(classes), remedy)
    counts = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    columns = np.array([column_of[name] for name in known], dtype=np.int64)[names.indices.to_numpy()]
    labels_NK[np.repeat(np.arange(len(lists)), counts), columns] = 1
