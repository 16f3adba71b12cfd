"""An archive of features with corrected labels; all other arrays are copied as they are, byte for byte."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bmix.labels.copies.edits import Edits
from bmix.sources.column_names import REVIEWED
from bmix.sources.features.npz import open_npz
from bmix.sources.features.npz_pack import GIVEN
from bmix.sources.label_cells.reviewed import KEPT
from bmix.support.files import replaced


def copy_npz(path: Path, ids: Sequence[str], edits: Edits, output: Path, names: Sequence[str]) -> None:
    """Write the archive anew. ids: of its rows. names: of the columns of its labels."""
    row_of = {id_: row for row, id_ in enumerate(ids)}
    column_of = {name: column for column, name in enumerate(names)}
    with open_npz(path) as archive:
        given = next(name for name in GIVEN if name in archive.names)
        labels_NK = archive.read(given).copy()
        reviewed_NK = archive.read(REVIEWED).copy() if REVIEWED in archive.names else np.zeros(labels_NK.shape, np.int8)
    for id_, values in edits.targets.items():
        for name, value in values.items():
            labels_NK[row_of[id_], column_of[name]] = value
    for id_, answers in edits.reviewed.items():
        for name, answer in answers.items():
            reviewed_NK[row_of[id_], column_of[name]] = 1 if answer == KEPT else -1
    arrays = {given: labels_NK} | ({REVIEWED: reviewed_NK} if edits.adds_columns else {})
    if edits.splits:
        arrays["split"] = np.array([edits.splits[id_] for id_ in ids])
    with replaced(output) as temporary, zipfile.ZipFile(path) as source, zipfile.ZipFile(temporary, "w") as target:
        for entry in source.infolist():
            name = entry.filename.removesuffix(".npy")
            # Of the time that zipfile writes, equal content would get other bytes.
            info = zipfile.ZipInfo(entry.filename)
            info.compress_type = entry.compress_type
            with target.open(info, "w", force_zip64=True) as file:
                if name in arrays:
                    file.write(_npy(arrays.pop(name)))
                else:
                    with source.open(entry) as content:
                        shutil.copyfileobj(content, file)
        for name, values in arrays.items():
            target.writestr(zipfile.ZipInfo(f"{name}.npy"), _npy(values))


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()
