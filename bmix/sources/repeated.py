"""One image under several rows or ids: its labels are joined if that is safe, else the rows are refused."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from bmix.data.manifest import FURTHER, Manifest, holds_features, origin
from bmix.sources.label_cells.entries import Entries
from bmix.sources.rows import Rows
from bmix.support.errors import InputError, quoted

_ODD = r"//|(?:^|/)\./"
Join = Literal["all", "single", "equal"]


def merge_repeated(manifest: Manifest, where: str, join: bool) -> Manifest:
    """The manifest with one row per image file, which has the first id and the labels of all its rows; a note counts.

    join: whether the rows of one image are parts of one statement, as the annotations of objects are; else they must
    be equal, or name a single label each. Features, whose rows share one file, stay as they are.
    """
    frame = manifest.frame
    if holds_features(manifest) or not _plain(frame["path"]).duplicated().any():
        return manifest
    labels, ignore = (Entries.of_lists(frame[column]) for column in ("labels", "ignore"))
    true, reviewed = (Entries.of_lists(frame[name]) if name in frame else None for name in FURTHER)
    rows, note = merge_repeated_rows(Rows(frame, labels, ignore, true, reviewed), where, "all" if join else "single")
    return replace(manifest, frame=rows.with_lists(manifest.classes), notes={**manifest.notes, "repeated": note})


def merge_repeated_rows(rows: Rows, where: str, join: Join) -> tuple[Rows, str]:
    """One row per image file, in the order of the first rows, and a note; '' if no file is repeated.

    join: which rows of an image that say different things are joined: "all"; those that name a "single" label each and
    ignore none, as in a file with a row per label; or none, so that they must be "equal".
    Raises InputError for rows of one image in different splits, and for rows that cannot be joined.
    """
    frame = rows.frame
    plain = _plain(frame["path"])
    if not plain.duplicated().any():
        return rows, ""
    image_N, images = pd.factorize(plain)
    first_N = first_rows(frame["path"])
    is_first_N = first_N == np.arange(len(frame))
    if "split" in frame:
        _refuse_two_splits(frame, first_N, where)
    if join != "all":
        _refuse_disagreement(rows, image_N, first_N, join, where)
    labels = rows.labels.joined(image_N)
    ignore = rows.ignore.joined(image_N).minus(labels)
    true = None if rows.true is None else rows.true.joined(image_N)
    note = f"{len(frame)} rows of {len(images)} images: the labels of an image's rows are joined"
    reviewed = None if rows.reviewed is None else rows.reviewed.joined(image_N)
    return Rows(frame[is_first_N], labels, ignore, true, reviewed), note


def first_rows(paths: pd.Series) -> np.ndarray:
    """Of each row the first one of the same image file, int64 (N,)."""
    image_N, _ = pd.factorize(_plain(paths))
    is_first_N = ~pd.Series(image_N).duplicated().to_numpy()
    return np.flatnonzero(is_first_N)[image_N]


def _plain(paths: pd.Series) -> pd.Series:
    """Paths as they name files, whichever way they are written."""
    odd_N = paths.str.contains(_ODD, regex=True).to_numpy(bool)
    if not odd_N.any():
        return paths
    plain = paths.to_numpy(object, copy=True)
    plain[odd_N] = [posixpath.normpath(path) for path in plain[odd_N]]
    return pd.Series(plain, index=paths.index)


def _refuse_two_splits(frame: pd.DataFrame, first_N: np.ndarray, where: str) -> None:
    splits_N = frame["split"].to_numpy(object)
    other = np.flatnonzero(splits_N != splits_N[first_N])
    if len(other):
        row = int(other[0])
        first = int(first_N[row])
        raise InputError(
            origin(frame, row, where),
            f'"{frame["path"].iloc[row]}" in split {splits_N[row]}, and in split {splits_N[first]} at '
            f"{origin(frame, first, where)}",
            "every image in one split",
            "remove one of the rows, or correct its split",
        )


def _refuse_disagreement(rows: Rows, image_N: np.ndarray, first_N: np.ndarray, join: Join, where: str) -> None:
    count = len(rows.frame)
    differs_N = np.zeros(count, bool)
    for entries in [rows.labels, rows.ignore, *([] if rows.true is None else [rows.true])]:
        marks_N = entries.fingerprints(count)
        differs_N |= marks_N != marks_N[first_N]
    is_label_N = np.bincount(rows.labels.pairs(rows.labels.names)[0], minlength=count) == 1
    if rows.true is not None or join == "equal":
        is_label_N[:] = False
    is_label_N[rows.ignore.rows] = False
    disputed = np.isin(image_N, image_N[differs_N])
    faulty = np.flatnonzero(disputed & ~is_label_N)
    if not len(faulty):
        return
    image = image_N[faulty[0]]
    first = int(first_N[faulty[0]])
    row = int(np.flatnonzero(differs_N & (image_N == image))[0])
    lists = rows.labels.at(np.isin(np.arange(count), [first, row])).lists(2, sorted(rows.labels.names))
    shown = [quoted(names) or "no label" for names in lists]
    raise InputError(
        origin(rows.frame, row, where),
        f'"{rows.frame["path"].iloc[row]}" with {shown[1]}, and with {shown[0]} at {origin(rows.frame, first, where)}',
        "one row per image" + (", or rows with one label each" if join == "single" else ""),
        "join the rows of an image, or keep the right one",
    )
