"""One image under several rows or ids: its labels are joined where that is safe, else the rows are refused."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bmix.data.manifest import Manifest, holds_features, origin, quoted
from bmix.sources.label_cells import Entries
from bmix.support.errors import InputError


@dataclass(frozen=True)
class Rows:
    """Rows of images: frame with `path`, `id` and, where it is known, `split`; and their labels.

    true: what the source knows to be true, None where it knows nothing.
    """

    frame: pd.DataFrame
    labels: Entries
    ignore: Entries
    true: Entries | None = None

    def at(self, kept_N: np.ndarray) -> Rows:
        """The rows that bool (N,) keeps."""
        true = None if self.true is None else self.true.at(kept_N)
        return Rows(self.frame[kept_N], self.labels.at(kept_N), self.ignore.at(kept_N), true)


def merge_repeated(manifest: Manifest, where: str, join: bool) -> Manifest:
    """The manifest with one row per image file, which has the first id and the labels of all its rows; a note counts.

    join: as in `merge_repeated_rows`. Features, whose rows share one file, stay as they are.
    """
    frame = manifest.frame
    if holds_features(manifest) or not frame["path"].map(_plain).duplicated().any():
        return manifest
    labels, ignore = (Entries.of_lists(frame[column]) for column in ("labels", "ignore"))
    rows, note = merge_repeated_rows(Rows(frame, labels, ignore), where, join)
    lists = {
        column: pd.Series(entries.lists(len(rows.frame), manifest.classes), index=rows.frame.index, dtype=object)
        for column, entries in (("labels", rows.labels), ("ignore", rows.ignore))
    }
    return replace(manifest, frame=rows.frame.assign(**lists), notes={**manifest.notes, "repeated": note})


def merge_repeated_rows(rows: Rows, where: str, join: bool) -> tuple[Rows, str]:
    """One row per image file, in the order of the first rows, and a note; '' where no file is repeated.

    join: the rows of one image may say different things and are parts of one statement, as the annotations of objects
    are. Otherwise they must be equal, or name a single label each and ignore none, as in a file with a row per label.
    Raises InputError for rows of one image in different splits, and for rows that cannot be joined.
    """
    frame = rows.frame
    image_N, images = pd.factorize(frame["path"].map(_plain))
    if len(images) == len(frame):
        return rows, ""
    is_first_N = ~pd.Series(image_N).duplicated().to_numpy()
    first_N = np.flatnonzero(is_first_N)[image_N]
    if "split" in frame:
        _refuse_two_splits(frame, first_N, where)
    if not join:
        _refuse_disagreement(rows, image_N, first_N, where)
    labels = rows.labels.joined(image_N)
    ignore = rows.ignore.joined(image_N).minus(labels)
    true = None if rows.true is None else rows.true.joined(image_N)
    note = f"{len(frame)} rows of {len(images)} images: the labels of an image's rows are joined"
    return Rows(frame[is_first_N], labels, ignore, true), note


def _plain(path: str) -> str:
    """A path as it names a file, whichever way it is written."""
    return posixpath.normpath(path) if "//" in path or "./" in path or path.endswith("/.") else path


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


def _refuse_disagreement(rows: Rows, image_N: np.ndarray, first_N: np.ndarray, where: str) -> None:
    count = len(rows.frame)
    differs_N = np.zeros(count, bool)
    for entries in [rows.labels, rows.ignore, *([] if rows.true is None else [rows.true])]:
        marks_N = entries.fingerprints(count)
        differs_N |= marks_N != marks_N[first_N]
    is_label_N = np.bincount(rows.labels.pairs(rows.labels.names)[0], minlength=count) == 1
    if rows.true is not None:
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
        "one row per image, or rows with one label each",
        "join the rows of an image, or keep the right one",
    )
