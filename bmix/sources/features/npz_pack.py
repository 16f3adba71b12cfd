"""Features in a numpy archive: X, Y, and what may stand beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bmix.sources.features.npz import Archive, open_npz
from bmix.sources.features.pack import Pack, refuse_nothing
from bmix.support.errors import InputError, nearest


@contextmanager
def open_npz_pack(path: Path) -> Iterator[Pack]:
    """Open an .npz of features; inside the block every fault of the file is an InputError."""
    with open_npz(path) as archive:
        yield _pack(archive, str(path))


def _pack(archive: Archive, where: str) -> Pack:
    for name in ("X", "Y"):
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
    labels_NK = _labels(archive.read("Y"), count, where)
    classes = _class_names(archive, labels_NK.shape[1], where)
    if "ids" in archive.names:
        ids = _texts(archive, "ids", count, where)
    else:
        ids = [f"{row:0{len(str(count))}d}" for row in range(1, count + 1)]

    def chunks() -> Iterator[np.ndarray]:
        for values in archive.chunks("X"):
            yield values.reshape(len(values), views, numbers)

    kept_type = np.dtype(np.float16 if dtype.kind == "f" and dtype.itemsize == 2 else np.float32)
    parts = _parts(archive, count, where)
    return Pack(where, (count, views, numbers), kept_type, labels_NK, classes, ids, parts, chunks)


def _labels(labels_NK: np.ndarray, count: int, where: str) -> np.ndarray:
    """Y as int8 (N, K) of 0, 1 and -1; InputError where it is anything else."""
    if labels_NK.ndim != 2 or len(labels_NK) != count or labels_NK.shape[1] == 0 or labels_NK.dtype.kind not in "fiub":
        raise InputError(
            f"{where}, Y",
            f"{labels_NK.dtype} {labels_NK.shape}",
            f"0 and 1 in the shape ({count}, K), a row for each of X",
            "write a column per class and a row per instance",
        )
    # A pass per value: isin would hold several copies of the whole.
    wrong_NK = (labels_NK != 0) & (labels_NK != 1) & (labels_NK != -1)
    if wrong_NK.any():
        row, column = np.argwhere(wrong_NK)[0]
        raise InputError(
            f"{where}, row {row + 1}",
            f"Y is {labels_NK[row, column]} in column {column + 1}",
            "0, 1, or -1 for a class that is neither present nor absent",
            "correct the label",
        )
    return labels_NK.astype(np.int8)


def _class_names(archive: Archive, count: int, where: str) -> list[str]:
    name = next((name for name in ("classes", "label_names") if name in archive.names), None)
    if name is None:
        return [str(column) for column in range(count)]
    classes = _texts(archive, name, count, where)
    repeated = [text for position, text in enumerate(classes) if text in classes[:position]]
    if repeated:
        raise InputError(f"{where}, {name}", f'"{repeated[0]}" stands there twice', "each class once", "rename one")
    return classes


def _texts(archive: Archive, name: str, count: int, where: str) -> list[str]:
    """An array of `count` texts, or of whole numbers as texts; none of them empty."""
    values = archive.read(name)
    if values.shape != (count,) or values.dtype.kind not in "Uiu":
        raise InputError(
            f"{where}, {name}", f"{values.dtype} {values.shape}", f"{count} texts, an array of type str", "save it anew"
        )
    texts = [str(value).strip() for value in values.tolist()]
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
        names = _texts(archive, "split_names", archive.header("split_names")[0][0], where)
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
    values = archive.read("n_train")
    if values.size != 1 or values.dtype.kind not in "iu" or not 0 < int(values.flat[0]) <= count:
        raise InputError(f"{where}, n_train", f"is {values}", f"a whole number from 1 to {count}", "correct it")
    train = int(values.flat[0])
    return ["train"] * train + ["test"] * (count - train)
