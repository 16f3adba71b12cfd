"""Features instead of images: an .npz or .parquet with a row per instance, V stored views of D numbers each.

npz: `X` (N, D) or (N, V, D), numbers; `Y` (N, K) of 0, 1 and -1; the class names in `classes` or `label_names` (else
"0", "1", ...); optional `ids`; optional `split`, text, or whole numbers that count in `split_names`; or `n_train`: so
many rows are train, those after them test; optional `true`, as Y: what is true where Y is given.
parquet: the numbers in a column `features` (lists of one length, or lists of V such lists), in columns f0, f1, ..., or
in all other columns of numbers; labels as in a table, optional `id`, `split`, `ignore` and `true`.
View 0 is the plain one, which the pass after each epoch and the evaluation see.
"""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from numpy.lib import format as npy

from bmix.data.manifest import FEATURES_FILE, Manifest, manifest_columns
from bmix.sources.class_list import ClassList
from bmix.sources.features.files import open_pack
from bmix.sources.features.pack import Pack
from bmix.sources.label_cells import CellRules
from bmix.sources.rows import Rows, in_splits, mapped
from bmix.support.errors import InputError
from bmix.support.files import replaced

PLAIN = CellRules()


def read_features(
    path: Path,
    split_of: dict[str, str],
    seed: int,
    folder: Path | None,
    empty: str = "keep",
    rules: CellRules = PLAIN,
    listed: ClassList | None = None,
) -> Manifest:
    """Read a file of features into a manifest, with the digest of every row's numbers (BLAKE2b, 16 hex digits).

    split_of: part -> split, parts being the file's values for `split`; rows of other parts are left out. Empty: the
    values are split names or usual for them, and a file without any is split by `seed`, stratified by the labels.
    folder: where FEATURES_FILE is written, equal input giving equal bytes; None: nothing is written, all is checked.
    empty: `drop` leaves out rows without a label, those of split unlabelled aside.
    rules: how cells of labels are read. listed: the classes that the user listed.
    The features are never held as a whole. Raises InputError for a file that is missing, corrupt or holds Python
    objects, for shapes and lengths that do not fit together, rows of several lengths, a number that is not finite
    in the type it is stored in, and labels that cannot be read.
    """
    with open_pack(path, rules, listed) as pack:
        count, views, numbers = pack.shape
        notes = {"features": f"{views} stored view{'s' * (views > 1)} of {numbers} numbers, {pack.dtype}"}
        notes |= {"classes": listed.note} if listed else {}
        notes |= pack.labels.notes
        rows = Rows(pack.frame(), pack.labels.labels, pack.labels.ignore, pack.labels.true, pack.labels.reviewed)
        rows = mapped(rows, split_of, str(path), notes)
        rows, classes = in_splits(rows, pack.labels.classes, seed, str(path), notes)
        if empty == "drop":
            rows = _with_labels(rows, notes)
        kept_N = np.zeros(count, bool)
        kept_N[rows.frame["row"]] = True
        digests = _copy_rows(pack, kept_N, folder)
    # Plain objects, as a table of text has them, whatever pandas makes of texts.
    frame = rows.with_lists(classes).assign(
        path=FEATURES_FILE, digest=pd.Series(digests, index=rows.frame.index, dtype=object)
    )
    return Manifest(frame[manifest_columns(frame)], classes, notes, classes_listed=pack.labels.certain)


def _with_labels(rows: Rows, notes: dict[str, str]) -> Rows:
    count_N = np.bincount(rows.labels.rows, minlength=len(rows.frame))
    empty_N = (count_N == 0) & (rows.frame["split"] != "unlabelled").to_numpy()
    if empty_N.any():
        notes["empty"] = f"{empty_N.sum()} rows without a label left out"
    return rows.at(~empty_N)


def _copy_rows(pack: Pack, kept_N: np.ndarray, folder: Path | None) -> list[str]:
    """The digests of the kept rows, which are written to FEATURES_FILE in `folder`."""
    with nullcontext() if folder is None else replaced(folder / FEATURES_FILE) as temporary:
        if temporary is None:
            return _copy_to(None, pack, kept_N)
        with temporary.open("wb") as file:
            return _copy_to(file, pack, kept_N)


def _copy_to(file: IO[bytes] | None, pack: Pack, kept_N: np.ndarray) -> list[str]:
    # Written as a stream: a full disk is an error there, and the end of the process in a memory map.
    if file is not None:
        shape = (int(kept_N.sum()), *pack.shape[1:])
        header = {"descr": npy.dtype_to_descr(pack.dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(file, header)
    digests = []
    start = 0
    for values in pack.chunks():
        with np.errstate(over="ignore"):
            features_BVD = np.ascontiguousarray(values, dtype=pack.dtype)
        kept_B = kept_N[start : start + len(features_BVD)]
        _refuse_not_finite(features_BVD, start, pack.where)
        start += len(features_BVD)
        kept_BVD = features_BVD if kept_B.all() else features_BVD[kept_B]
        digests += [hashlib.blake2b(row, digest_size=8).hexdigest() for row in kept_BVD]
        if file is not None:
            file.write(kept_BVD.data)
    if start != pack.shape[0]:
        raise InputError(pack.where, f"{start} rows of features", f"{pack.shape[0]}", "write the file anew")
    return digests


def _refuse_not_finite(features_BVD: np.ndarray, start: int, where: str) -> None:
    wrong_BVD = ~np.isfinite(features_BVD)
    if wrong_BVD.any():
        row, view, number = np.argwhere(wrong_BVD)[0]
        raise InputError(
            f"{where}, row {start + row + 1}",
            f"number {number + 1} of view {view} is {features_BVD[row, view, number]} in {features_BVD.dtype}",
            "finite numbers",
            "fill it in, scale the features down, or leave out the row",
        )
