"""Features in a numpy archive: X, Y, and what may stand beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bmix.data.manifest import REVIEWED, TRUE
from bmix.sources.class_list import ClassList
from bmix.sources.features.npz import Archive, open_npz, refuse_beyond_memory
from bmix.sources.features.pack import Pack, refuse_nothing
from bmix.sources.label_cells import CellRules, Entries, Labels
from bmix.sources.label_cells.reviewed import of_numbers
from bmix.support.errors import InputError, nearest, quoted

GIVEN, CLASS_NAMES = ("Y", "given"), ("classes", "label_names", "class_names")

MOST_CLASSES = 100_000
LONGEST_TEXT = 4096
"""Characters of an id, a class name or a split; numpy holds every text of an array at the length of the longest."""


@contextmanager
def open_npz_pack(path: Path, rules: CellRules, listed: ClassList | None) -> Iterator[Pack]:
    """Open an .npz of features; inside the block every fault of the file is an InputError."""
    with open_npz(path) as archive:
        yield _pack(archive, str(path), rules, listed)


def _pack(archive: Archive, where: str, rules: CellRules, listed: ClassList | None) -> Pack:
    given = next((name for name in GIVEN if name in archive.names), GIVEN[0])
    for name in ("X", given):
        if name not in archive.names:
            raise InputError(
                where,
                f"no array {name}; arrays found: {', '.join(archive.names) or 'none'}",
                "X (N, D) or (N, V, D), and Y (N, K)",
                f"save it as {name}.{nearest(name, archive.names)}",
            )
    shape, dtype = archive.header("X")
    if len(shape) not in (2, 3) or dtype.kind not in "fiub":
        raise InputError(
            f"{where}, X", f"{dtype} {shape}", "numbers in the shape (N, D) or (N, V, D)", "reshape or convert it"
        )
    count, views, numbers = shape if len(shape) == 3 else (shape[0], 1, shape[1])
    refuse_nothing(where, (count, views, numbers))
    labels = _labels(archive, given, count, where, rules, listed)
    if "ids" in archive.names:
        ids = _texts(archive, "ids", count, where)
    else:
        ids = [f"{row:0{len(str(count))}d}" for row in range(1, count + 1)]

    def chunks() -> Iterator[np.ndarray]:
        for values in archive.chunks("X"):
            yield values.reshape(len(values), views, numbers)

    kept_type = np.dtype(np.float16 if dtype.kind == "f" and dtype.itemsize == 2 else np.float32)
    parts = _parts(archive, count, where)
    return Pack(where, (count, views, numbers), kept_type, labels, ids, parts, chunks)


def _labels(archive: Archive, given: str, count: int, where: str, rules: CellRules, listed: ClassList | None) -> Labels:
    """The labels of Y under the names of the classes, and of `true`, where the archive has one."""
    labels_NK = _cells(archive, given, count, where)
    names = _class_names(archive, labels_NK.shape[1], where, listed)
    notes = {} if given == GIVEN[0] else {"labels": f"array {given}"}
    minus_one = rules.minus_one
    if minus_one == "auto" and (labels_NK < 0).any() and not (labels_NK == 0).any():
        minus_one, notes["-1"] = "absent", "absent, since no label is 0; data.minus_one says otherwise"
    unknown = Entries.of_cells((labels_NK < 0) & (minus_one != "absent"), names)
    true = None
    if TRUE in archive.names:
        true_NK = _cells(archive, TRUE, count, where)
        if true_NK.shape != labels_NK.shape or (true_NK < 0).any():
            raise InputError(
                f"{where}, {TRUE}",
                f"{true_NK.shape}",
                f"0 and 1 in the shape {labels_NK.shape} of {given}",
                "save it so",
            )
        true = Entries.of_cells(true_NK == 1, names)
    reviewed = None
    if REVIEWED in archive.names:
        reviewed_NK = _cells(archive, REVIEWED, count, where)
        if reviewed_NK.shape != labels_NK.shape:
            found, expected = f"{reviewed_NK.shape}", f"1 (kept), -1 (changed) and 0 in the shape {labels_NK.shape}"
            raise InputError(f"{where}, {REVIEWED}", found, expected, "save it so, or leave it out")
        reviewed, note = of_numbers(reviewed_NK, labels_NK, names)
        notes |= note
    classes = listed.names if listed else names
    if left := [name for name in names if name not in classes]:
        notes["left alone"] = f"classes that are not listed: {quoted(left)}"
        true = None if true is None else true.only(classes)
    present = Entries.of_cells(labels_NK == 1, names).only(classes)
    return Labels(present, unknown.only(classes), true, classes, True, "equal", notes, reviewed)


def _cells(archive: Archive, name: str, count: int, where: str) -> np.ndarray:
    """An array of labels as int8 (N, K) of 0, 1 and -1, read by chunks; InputError if it is anything else."""
    shape, dtype = archive.header(name)
    if len(shape) != 2 or shape[0] != count or not 0 < shape[1] <= MOST_CLASSES or dtype.kind not in "fiub":
        raise InputError(
            f"{where}, {name}",
            f"{dtype} {shape}",
            f"0 and 1 in the shape ({count}, K), a row for each of X and K up to {MOST_CLASSES}",
            "write a column per class and a row per instance",
        )
    refuse_beyond_memory(f"{where}, {name}", shape[0] * shape[1], "use fewer classes, or a machine with more memory")
    labels_NK = np.empty(shape, np.int8)
    start = 0
    for chunk_BK in archive.chunks(name):
        wrong_BK = (chunk_BK != 0) & (chunk_BK != 1) & (chunk_BK != -1)
        if wrong_BK.any():
            row, column = np.argwhere(wrong_BK)[0]
            raise InputError(
                f"{where}, row {start + row + 1}",
                f"{name} is {chunk_BK[row, column]} in column {column + 1}",
                "0, 1, or -1 for a class that is neither present nor absent",
                "correct the label",
            )
        labels_NK[start : start + len(chunk_BK)] = chunk_BK
        start += len(chunk_BK)
    return labels_NK


def _class_names(archive: Archive, count: int, where: str, listed: ClassList | None) -> list[str]:
    """The names of all columns: the archive's own, else the listed ones, else their numbers."""
    name = next((name for name in CLASS_NAMES if name in archive.names), None)
    if name is None:
        if listed and len(listed.names) != count:
            found, expected = f"{len(listed.names)} classes are listed ({listed.note})", f"a name for each of {count}"
            raise InputError("data.classes", found, expected, "list as many names as Y has columns, in their order")
        return listed.names if listed else [str(column) for column in range(count)]
    classes = _texts(archive, name, count, where)
    if len(set(classes)) < len(classes):
        repeated = next(text for text, times in Counter(classes).items() if times > 1)
        raise InputError(f"{where}, {name}", f'"{repeated}" is duplicated', "each class once", "rename one")
    if listed and (absent := [text for text in listed.names if text not in classes]):
        raise InputError(
            "data.classes",
            f"{quoted(absent)} is not in {name} of {where}",
            f"one of {quoted(classes)}",
            f"correct the list of classes.{nearest(absent[0], classes)}",
        )
    return classes


def _texts(archive: Archive, name: str, count: int, where: str) -> list[str]:
    """An array of `count` texts, or of whole numbers as texts; none of them empty."""
    shape, dtype = archive.header(name)
    if shape != (count,) or dtype.kind not in "Uiu" or dtype.itemsize > 4 * LONGEST_TEXT:
        expected = f"{count} texts of at most {LONGEST_TEXT} characters, an array of type str"
        raise InputError(f"{where}, {name}", f"{dtype} {shape}", expected, "save it anew")
    refuse_beyond_memory(f"{where}, {name}", count * dtype.itemsize, "shorten the texts")
    texts = [str(value).strip() for value in archive.read(name).tolist()]
    for position, text in enumerate(texts):
        if not text or not text.isprintable():
            raise InputError(
                f"{where}, {name}, row {position + 1}", f"is {text!r}", "a text that can be shown", "correct it"
            )
    return texts


def _parts(archive: Archive, count: int, where: str) -> list[str] | None:
    """The part of each row, from `split`, else from `n_train`; None without either."""
    if "split" in archive.names:
        texts = _texts(archive, "split", count, where)
        if archive.header("split")[1].kind == "U":
            return texts
        if "split_names" not in archive.names:
            raise InputError(f"{where}, split", "numbers, and no split_names", "the names they count in", "save both")
        (shape, _) = archive.header("split_names")
        names = _texts(archive, "split_names", shape[0] if shape and shape[0] <= count else count, where)
        outside = next((row for row, text in enumerate(texts) if not 0 <= int(text) < len(names)), None)
        if outside is not None:
            raise InputError(
                f"{where}, split, row {outside + 1}",
                f"is {texts[outside]}",
                f"0 to {len(names) - 1}, for the {len(names)} split_names",
                "correct it",
            )
        return [names[int(text)] for text in texts]
    if "n_train" not in archive.names:
        return None
    expected = f"a whole number from 1 to {count}"
    shape, dtype = archive.header("n_train")
    if shape not in ((), (1,)) or dtype.kind not in "iu":
        raise InputError(f"{where}, n_train", f"is {dtype} {shape}", expected, "correct it")
    train = int(archive.read("n_train").flat[0])
    if not 0 < train <= count:
        raise InputError(f"{where}, n_train", f"is {train}", expected, "correct it")
    return ["train"] * train + ["test"] * (count - train)
