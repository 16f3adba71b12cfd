"""Labels as lists of class names, one per image, and as matrices of 0 and 1."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import numpy as np
import pandas as pd

from bmix.support.errors import InputError, nearest, quoted


def label_counts(lists: pd.Series, classes: list[str]) -> np.ndarray:
    """How many rows name each class, int64 (K,), without a matrix of cells; names beyond `classes` are left out."""
    columns = pd.Index(classes).get_indexer(pd.Index(flat_names(lists), dtype=object))
    return np.bincount(columns[columns >= 0], minlength=len(classes))


def label_matrix(lists: Iterable[list[str]], classes: list[str]) -> np.ndarray:
    """Lists of class names as uint8 (N, K) of 0/1, columns in the order of `classes`.

    Raises InputError for a name that is not among the classes.
    """
    lists = list(lists)
    labels_NK = np.zeros((len(lists), len(classes)), np.uint8)
    labels_NK[label_pairs(lists, classes)] = 1
    return labels_NK


def label_pairs(lists: Iterable[list[str]], classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The row and the column in `classes` of each name in lists of class names, int64 (M,) both, in their order.

    Raises InputError for a name that is not among the classes.
    """
    lists = list(lists)
    names = flat_names(lists)
    columns = pd.Index(classes).get_indexer(pd.Index(names, dtype=object))
    if (columns < 0).any():
        name = names[int(np.argmin(columns))]
        raise InputError(
            "labels",
            f'class "{name}" is not in the class list',
            quoted(classes),
            f"correct it.{nearest(name, classes)}",
        )
    return np.repeat(np.arange(len(lists)), [len(row) for row in lists]), columns


def label_lists(labels_NK: np.ndarray, classes: list[str]) -> list[list[str]]:
    """0/1 cells (N, K) as lists of class names in column order: the inverse of `label_matrix`."""
    rows, columns = np.nonzero(labels_NK)
    ends = np.cumsum(np.bincount(rows, minlength=len(labels_NK)))[: len(labels_NK)]
    names = [classes[column] for column in columns]
    return [names[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)] if len(ends) else []


def flat_names(lists: Iterable[Iterable[str]]) -> list[str]:
    """All names, row by row."""
    return list(chain.from_iterable(lists))
