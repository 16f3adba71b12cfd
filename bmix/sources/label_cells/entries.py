"""Labels in a sparse form: a (row, name) pair per label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Entries:
    """Label cells as pairs: rows int64 (M,), codes int64 (M,) into `names`; a pair may be duplicated."""

    rows: np.ndarray
    codes: np.ndarray
    names: list[str]

    def at(self, kept_N: np.ndarray) -> Entries:
        """The entries of the rows that bool (N,) keeps, with the numbers these rows have afterwards."""
        kept = kept_N[self.rows]
        return Entries((np.cumsum(kept_N) - 1)[self.rows[kept]], self.codes[kept], self.names)

    def without(self, emptied_N: np.ndarray) -> Entries:
        """The entries except those of the rows that bool (N,) empties."""
        kept = ~emptied_N[self.rows]
        return Entries(self.rows[kept], self.codes[kept], self.names)

    def only(self, names: list[str]) -> Entries:
        """The entries of these names, among which all of them are kept."""
        wanted = set(names)
        kept = np.array([name in wanted for name in self.names], bool)[self.codes]
        return Entries(self.rows[kept], self.codes[kept], self.names)

    def seen(self, rows_N: np.ndarray) -> list[str]:
        """The names on any of the rows that bool (N,) marks, sorted."""
        counts = np.bincount(self.codes[rows_N[self.rows]], minlength=len(self.names))
        return sorted(name for name, count in zip(self.names, counts, strict=True) if count)

    def pairs(self, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns, each pair once, sorted; names that are no class have the columns after the classes'."""
        order = self._order(classes)
        column_of = {name: column for column, name in enumerate(order)}
        columns = np.array([column_of[name] for name in self.names], np.int64)[self.codes]
        # np.unique gives the same, several times slower: it hashes before it sorts.
        pairs = np.sort(self.rows * len(order) + columns)
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
        return np.divmod(pairs, max(len(order), 1))

    def lists(self, count: int, classes: list[str]) -> list[list[str]]:
        """A list of names per row without repetition, in class order; names that are no class follow, sorted."""
        rows, columns = self.pairs(classes)
        ends = np.cumsum(np.bincount(rows, minlength=count)).tolist()
        flat = np.array(self._order(classes), dtype=object)[columns].tolist()
        return [flat[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)] if ends else []

    def and_those(self, other: Entries) -> Entries:
        """The entries of both."""
        names = list(dict.fromkeys([*self.names, *other.names]))
        codes = [entries.renumbered(names).codes for entries in (self, other)]
        return Entries(np.concatenate([self.rows, other.rows]), np.concatenate(codes), names)

    @classmethod
    def of_cells(cls, cells_NK: np.ndarray, names: list[str]) -> Entries:
        """The entries of bool (N, K), columns in the order of names."""
        rows, columns = np.nonzero(cells_NK)
        return cls(rows, columns, names)

    @classmethod
    def of_lists(cls, lists: Iterable[list[str]]) -> Entries:
        """The entries of a list of names per row."""
        lists = list(lists)
        codes, names = pd.factorize(np.array(list(chain.from_iterable(lists)), dtype=object))
        lengths_N = np.fromiter(map(len, lists), np.int64, len(lists))
        return cls(np.repeat(np.arange(len(lists)), lengths_N), codes.astype(np.int64), list(names))

    def renumbered(self, names: list[str]) -> Entries:
        """The same entries, with codes into these names, among which all of theirs are."""
        code_of = {name: code for code, name in enumerate(names)}
        codes = np.array([code_of.get(name, -1) for name in self.names], np.int64)[self.codes]
        return Entries(self.rows, codes, names)

    def joined(self, target_N: np.ndarray) -> Entries:
        """The entries of rows that become one, int (N,) saying which; a pair may be duplicated afterwards."""
        return Entries(target_N[self.rows], self.codes, self.names)

    def minus(self, other: Entries) -> Entries:
        """The pairs that the other does not have."""
        names = list(dict.fromkeys([*self.names, *other.names]))
        keys, others = (entries.rows * len(names) + entries.renumbered(names).codes for entries in (self, other))
        kept = ~np.isin(keys, others)
        return Entries(self.rows[kept], self.codes[kept], self.names)

    def fingerprints(self, count: int) -> np.ndarray:
        """A number for each of `count` rows, uint64, which is the same for rows with the same names."""
        rows, columns = self.pairs(sorted(self.names))
        marks = np.random.default_rng(0).integers(0, 2**64, len(self.names), np.uint64)
        sums_N = np.zeros(count, np.uint64)
        np.add.at(sums_N, rows, marks[columns])
        return sums_N

    def _order(self, classes: list[str]) -> list[str]:
        return classes + sorted(set(self.names) - set(classes))


NONE = Entries(np.zeros(0, np.int64), np.zeros(0, np.int64), [])
