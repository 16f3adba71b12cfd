"""Labels in a column per class: 0 and 1, true and false, yes and no; and which columns are of this kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bmix.sources.cells import Cells
from bmix.sources.label_cells.entries import Entries
from bmix.sources.label_cells.rules import CellRules
from bmix.support.errors import InputError, nearest, quoted

PRESENT, ABSENT, MINUS_ONE, BLANK, OTHER = 1, 0, -1, 3, 2

FAMILIES: dict[str, dict[str, int]] = {
    "0 and 1": {
        **dict.fromkeys(["1", "1.0", "true"], PRESENT),
        **dict.fromkeys(["0", "0.0", "false"], ABSENT),
        **dict.fromkeys(["-1", "-1.0"], MINUS_ONE),
    },
    "yes and no": {"yes": PRESENT, "no": ABSENT},
    "y and n": {"y": PRESENT, "n": ABSENT},
    "t and f": {"t": PRESENT, "f": ABSENT},
    "ja and nein": {"ja": PRESENT, "nein": ABSENT},
    "oui and non": {"oui": PRESENT, "non": ABSENT},
    "positive and negative": {"positive": PRESENT, "negative": ABSENT},
    "pos and neg": {"pos": PRESENT, "neg": ABSENT},
    "present and absent": {"present": PRESENT, "absent": ABSENT},
    "x": {"x": PRESENT, "✓": PRESENT, "✔": PRESENT},
}
"""What the cells of a column per class can hold, lower-case and without blanks around; a column keeps to one family."""
BLANKS = ("", "nan", "none", "null", "<na>")
CERTAIN = ("0 and 1", "yes and no")
"""Families of which one word is enough; of the others a column must hold both words."""
AMBIGUOUS = ("t and f", "x")
"""Families whose words a column may hold by chance, as f among the sexes. A column that mostly keeps to one of the
others and holds something else is a mistake."""


FOLDS = frozenset(["fold", "folds", "kfold", "k_fold", "k-fold", "cv_fold"])
"""What the column of a cross-validation is called, in small letters: of two folds it holds 0 and 1."""


@dataclass(frozen=True)
class ClassColumns:
    """The labels and ignored cells of columns per class, their names and forms, and the columns left alone."""

    labels: Entries
    ignore: Entries
    classes: list[str]
    how: list[str]
    left: list[str]


def read_class_columns(cells: Cells, rules: CellRules, listed: list[str], candidates: list[str]) -> ClassColumns:
    """The columns among the candidates whose cells say present or absent, in the words of one family.

    An empty cell is ignored or absent as `rules` say, -1 likewise; under auto -1 is absent where no cell is 0, since
    nothing else would say that a class is absent. listed: the classes that the user listed; where there are any, no
    other column is looked at.
    Raises InputError for another value in a column that mostly keeps to a family, and in a listed column.
    """
    if absent := [name for name in listed if name not in candidates]:
        raise InputError(
            f"{cells.origins[0].rpartition(',')[0]}",
            f"no column {quoted(absent)}, which is listed as a class",
            f"a column for each class; columns found: {quoted(candidates)}",
            f"correct the list of classes.{nearest(absent[0], candidates)}",
        )
    meanings: dict[str, np.ndarray] = {}
    families: dict[str, str] = {}
    left = [name for name in candidates if (name not in listed if listed else name.lower() in FOLDS)]
    for name in listed or [name for name in candidates if name not in left]:
        family, meaning_N = _meanings(cells.columns[name])
        other = np.flatnonzero(meaning_N == OTHER)
        known = int(np.isin(meaning_N, (PRESENT, ABSENT)).sum())
        both = bool((meaning_N == PRESENT).any() and (meaning_N == ABSENT).any())
        is_mistake = known > len(other) and family not in AMBIGUOUS and (both or family in CERTAIN)
        if len(other) and (name in listed or is_mistake):
            raise _other_value(cells, name, int(other[0]), family)
        if len(other) or not (known or name in listed) or not (both or family in (*CERTAIN, "x") or name in listed):
            left.append(name)
        else:
            meanings[name], families[name] = meaning_N, family
    minus_one, notes = _minus_one([meaning_N for name, meaning_N in meanings.items() if "1" in families[name]], rules)
    words = sorted({family for family in families.values() if family != "0 and 1"})
    notes += [f"{family} in {quoted(n for n, own in families.items() if own == family)}" for family in words]
    present = {name: meaning_N == PRESENT for name, meaning_N in meanings.items()}
    unknown = {
        name: ((meaning_N == MINUS_ONE) & (minus_one == "ignored"))
        | ((meaning_N == BLANK) & (rules.blank_cell == "ignored") & (families[name] != "x"))
        for name, meaning_N in meanings.items()
    }
    return ClassColumns(_of_columns(present), _of_columns(unknown), list(meanings), notes, left)


def _minus_one(columns: list[np.ndarray], rules: CellRules) -> tuple[str, list[str]]:
    """What -1 means in columns of 0 and 1, and a note if it occurs and the params leave it open."""
    if rules.minus_one != "auto" or not any((meaning_N == MINUS_ONE).any() for meaning_N in columns):
        return rules.minus_one, []
    if any((meaning_N == ABSENT).any() for meaning_N in columns):
        return "ignored", []
    return "absent", ["-1 is absent, since no cell is 0; data.minus_one says otherwise"]


def _other_value(cells: Cells, name: str, row: int, family: str) -> InputError:
    shown = "0 or 1" if family == "0 and 1" else family.replace(" and ", " or ")
    return InputError(
        str(cells.origins[row]),
        f'column "{name}" holds "{cells.columns[name][row].as_py()}", and {shown} in most rows',
        "0 or 1, true or false, yes or no, in one column the same; -1 or nothing where it is not known",
        "correct the cell; where the column is no class, remove it or name the classes in data.classes",
    )


def _meanings(column: pa.ChunkedArray) -> tuple[str, np.ndarray]:
    """The family that most cells of a column keep to, and what each says, int8 (N,)."""
    if pa.types.is_nested(column.type) and not pa.types.is_dictionary(column.type):
        return "", np.full(len(column), OTHER, np.int8)
    # By chunk: all of a column's texts together may be too many to number as one of them is.
    chunks = [_coded(chunk) for chunk in column.chunks]
    share = dict.fromkeys(FAMILIES, 0)
    for texts, code_B in chunks:
        counts = np.bincount(code_B, minlength=len(texts) + 1)
        for family, words in FAMILIES.items():
            share[family] += sum(int(counts[code]) for code, text in enumerate(texts) if text in words)
    family = max(share, key=lambda name: share[name])
    words = {**dict.fromkeys(BLANKS, BLANK), **FAMILIES[family]}
    parts = [np.array([*(words.get(t, OTHER) for t in texts), BLANK], np.int8)[code_B] for texts, code_B in chunks]
    return family, np.concatenate([np.zeros(0, np.int8), *parts])


def _coded(chunk: pa.Array) -> tuple[list[str], np.ndarray]:
    """The texts in part of a column, plain, and for each cell the number of its text, or one more for a null."""
    encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
    texts = [str(value).strip().lower() for value in encoded.dictionary.to_pylist()]
    return texts, np.asarray(encoded.indices.cast(pa.int64()).fill_null(len(texts)))


def _of_columns(marked: dict[str, np.ndarray]) -> Entries:
    rows = [np.flatnonzero(marked_N) for marked_N in marked.values()]
    codes = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    return Entries(np.concatenate([np.zeros(0, np.int64), *rows]), codes, list(marked))
