"""Features instead of images: an .npz or .parquet with a row per instance, V stored views of D numbers each.

npz: `X` (N, D) or (N, V, D), numbers; `Y` (N, K) of 0, 1 and -1 for ignored; the class names in `classes` or
`label_names` (else "0", "1", ...); optional `ids`; optional `split`, text, or whole numbers that count in
`split_names`; or `n_train`: so many rows are train, those after them test.
parquet: the numbers in a column `features` (lists of one length, or lists of V such lists), or in columns f0, f1, ...,
or in all numeric columns that are not known ones; `labels` as in a table; optional `id`, `split` and `ignore`.
View 0 is the plain one, which the audit and the evaluation see.
"""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from numpy.lib import format as npy

from bmix.data.manifest import COLUMNS, FEATURES_FILE, Manifest, label_lists, quoted
from bmix.sources.features.files import open_pack
from bmix.sources.features.pack import Pack
from bmix.sources.split_map import refuse_unknown_parts
from bmix.sources.stratify import stratified_splits
from bmix.support.errors import InputError
from bmix.support.files import replaced


def read_features(
    path: Path, split_of: dict[str, str], seed: int, folder: Path | None, empty: str = "keep"
) -> Manifest:
    """Read a file of features into a manifest, with the digest of every row's numbers (BLAKE2b, 16 hex digits).

    split_of: part -> split, parts being the file's values for `split`; rows of other parts are left out. Empty: the
    values are split names, and a file without any is split by `seed`, stratified by the labels.
    folder: where FEATURES_FILE is written, equal input giving equal bytes; None: nothing is written, all is checked.
    empty: `drop` leaves out rows without a label, those of split unlabelled aside.
    The features are never held as a whole. Raises InputError for a file that is missing, corrupt or holds Python
    objects, for shapes and lengths that do not fit together, rows of several lengths, a number that is not finite
    in the type it is stored in, and labels other than 0, 1 and -1.
    """
    with open_pack(path) as pack:
        _, views, numbers = pack.shape
        notes = {"features": f"{views} stored view{'s' * (views > 1)} of {numbers} numbers, {pack.dtype}"}
        split_N = _splits(pack, split_of, seed, notes)
        kept_N = split_N != ""
        if empty == "drop":
            empty_N = kept_N & (split_N != "unlabelled") & ~(pack.labels_NK == 1).any(1)
            notes |= {"empty": f"{empty_N.sum()} rows without a label left out"} if empty_N.any() else {}
            kept_N &= ~empty_N
        digests = _copy_rows(pack, kept_N, folder)
    rows = np.flatnonzero(kept_N)
    labels_NK = np.where((split_N == "unlabelled")[:, None], np.int8(0), pack.labels_NK)[rows]
    frame = pd.DataFrame(
        {
            "id": pd.Series([pack.ids[row] for row in rows], dtype=object),
            "path": FEATURES_FILE,
            "split": pd.Series(split_N[rows], dtype=object),
            "labels": pd.Series(label_lists(labels_NK == 1, pack.classes), dtype=object),
            "ignore": pd.Series(label_lists(labels_NK == -1, pack.classes), dtype=object),
            "digest": pd.Series(digests, dtype=object),
        }
    )
    frame.index = pd.Index([f"{path}, row {row + 1}" for row in rows], name="origin", dtype=object)
    return Manifest(frame[COLUMNS], pack.classes, notes)


def _splits(pack: Pack, split_of: dict[str, str], seed: int, notes: dict[str, str]) -> np.ndarray:
    """The split of each row, object (N,), '' where the row is left out."""
    parts = sorted(set(pack.parts or []))
    refuse_unknown_parts(split_of, parts, pack.where)
    if pack.parts is None:
        notes["splits"] = f"drawn for data.seed {seed}, stratified by the labels"
        rows, columns = np.nonzero(pack.labels_NK == 1)
        return stratified_splits(rows, columns, (len(pack.labels_NK), len(pack.classes)), seed)
    if not split_of:
        return np.array(pack.parts, dtype=object)
    if left_out := [part for part in parts if part not in split_of]:
        notes["splits"] = f"left out: {quoted(left_out)}"
    return np.array([split_of.get(part, "") for part in pack.parts], dtype=object)


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
