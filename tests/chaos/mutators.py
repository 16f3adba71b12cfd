"""Ways to damage a file: by its bytes, by its words and lines, and by the values of the format that it is in."""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Mutator = Callable[[bytes, random.Random], bytes]

WORDS = [
    "", " ", "nan", "NaN", "inf", "-inf", "-1", "0", "1", "2", "0.5", "1e999", "-0.0", "9" * 5000, "1e-400", "٣",
    "0x10", "true", "false", "null", "None", "[]", "{}", '""', '"', "'", "\\", "\x00", "\ufeff", "é", "猫",
    "\U0001f600", "\ud800", "../../etc/passwd", "/etc/passwd", "..", ".", "con", "a" * 10_000, "=cmd()", "a/b", "a;b",
    "a|b", "a,b", "\t", "\n", "!!int x", "!!python/object:os.system x", "!!timestamp 5", "&a [*a, *a]", "*a", "? x",
    "<<: *a", "- " * 200, "[" * 3000, "{" * 3000, '{"a":' * 3000, "2024-13-45", "1_000", "<!ENTITY x 'y'>", "<a>",
    "</a>", "&lt;", "#", "%",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3.5, float("nan"), float("inf"), 10**40, 10**4500, "", "x", "0", "a" * 10_000,
    "\ud800", "../x", [], {}, [[]], [None], ["x", "x"], {"x": 1}, [1, 2, 3], "猫", "é",
]  # fmt: skip


def mutate(path: Path, content: bytes, rng: random.Random) -> bytes:
    """The content of a file, damaged in one way that its format allows or none would."""
    return rng.choice(BY_SUFFIX.get(path.suffix.lower(), OF_BYTES))(content, rng)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decode(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


# Bytes.


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def insert(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.randbytes(rng.choice([1, 4, 100])) + content[place:]


def remove(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start + rng.choice([1, 4, 100, 1000]) :]


def repeat(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    part = content[start : start + rng.choice([1, 10, 300])]
    return content[:start] + part * rng.choice([2, 3, 50]) + content[start:]


def replace_all(content: bytes, rng: random.Random) -> bytes:
    whole = [
        b"",
        b"\x00" * 100,
        b"PK\x05\x06" + b"\x00" * 18,
        b"PAR1PAR1",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xfe\x00",
        b"{}",
    ]
    return rng.choice([*whole, rng.randbytes(200)])


OF_BYTES: list[Mutator] = [cut, flip, insert, remove, repeat, replace_all]


# Text.


def word(content: bytes, rng: random.Random) -> bytes:
    text = _decode(content)
    found = list(re.finditer(r"[\w.+-]+", text))
    if not found:
        return content
    chosen = rng.choice(found)
    new = _encode(rng.choice(WORDS))
    return text[: chosen.start()].encode("utf-8", "surrogateescape") + new + _decode_end(text, chosen.end())


def _decode_end(text: str, start: int) -> bytes:
    return text[start:].encode("utf-8", "surrogateescape")


def line(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            del lines[first]
        case 1:
            lines.insert(second, lines[first])
        case 2:
            lines[first], lines[second] = lines[second], lines[first]
        case 3:
            lines.insert(first, b"  " + lines[second])
        case 4:
            lines[first] = lines[first].replace(b",", b";").replace(b": ", b":")
    return b"\n".join(lines)


def encode_otherwise(content: bytes, rng: random.Random) -> bytes:
    return _decode(content).encode(rng.choice(["utf-16", "utf-32", "utf-8-sig", "cp1252"]), "replace")


OF_TEXT: list[Mutator] = [*OF_BYTES, word, word, word, word, line, line, encode_otherwise]


# JSON.


def json_value(content: bytes, rng: random.Random) -> bytes:
    try:
        value = json.loads(content)
    except ValueError:
        return word(content, rng)
    places = list(_places(value))
    if not places:
        return _json(rng.choice(VALUES))
    holder, key = rng.choice(places)
    match rng.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[rng.choice(WORDS)] = holder.pop(key)
        case 2 if isinstance(holder, list):
            holder.insert(rng.randrange(len(holder) + 1), holder[key])
        case _:
            holder[key] = rng.choice(VALUES)
    return _json(value)


def _places(value: Any) -> Any:
    """Every (container, key) of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def _json(value: Any) -> bytes:
    # Numbers of more digits than Python converts are written by themselves.
    return json.dumps(value, default=str).encode() if _small(value) else b"9" * 5000


def _small(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_small, value))
    if isinstance(value, dict):
        return all(map(_small, value.values()))
    return not (isinstance(value, int) and abs(value) > 10**4000)


OF_JSON: list[Mutator] = [*OF_TEXT, *[json_value] * 8]


# Tables.


def frame_value(content: bytes, rng: random.Random) -> bytes:
    """A parquet table with a cell, a column or a row changed."""
    frame = pd.read_parquet(io.BytesIO(content))
    column = rng.choice(list(frame.columns))
    match rng.randrange(9):
        case 0:
            frame = frame.drop(columns=column)
        case 1:
            frame = frame.rename(columns={column: rng.choice(["x", "id", "labels", "path", " id"])})
        case 2:
            frame = frame.sample(frac=1, random_state=rng.randrange(2**32))
        case 3:
            frame = pd.concat([frame, frame.iloc[: rng.choice([1, 3])]])
        case 4:
            frame = frame.iloc[: rng.choice([0, 1, len(frame) // 2])]
        case 5:
            frame[column] = frame[column].astype(str)
        case 6:
            frame[column] = rng.choice([0, 1.5, None, "x", True])
        case _:
            cells = frame[column].astype(object).tolist()
            if cells:
                cells[rng.randrange(len(cells))] = rng.choice([value for value in VALUES if _small(value)])
            frame[column] = pd.Series(cells, dtype=object, index=frame.index)
    return _parquet(frame)


def _parquet(frame: pd.DataFrame) -> bytes:
    """The table as parquet; columns of mixed values as text, which they then are."""
    frame = frame.map(lambda cell: list(cell) if isinstance(cell, np.ndarray) else cell)
    as_text = frame.map(lambda cell: str(cell)[:20_000].encode("utf-8", "replace").decode())
    for content in (frame, as_text):
        target = io.BytesIO()
        # pyarrow has many words for what it cannot type.
        with contextlib.suppress(Exception):
            content.to_parquet(target, index=False)
            return target.getvalue()
    return b""


# Arrays.


def array_value(content: bytes, rng: random.Random) -> bytes:
    """An .npz with one array changed, left out or of another type or shape."""
    with np.load(io.BytesIO(content)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    name = rng.choice(sorted(arrays))
    values = arrays[name]
    flat = values.ravel()
    match rng.randrange(8):
        case 0:
            del arrays[name]
        case 1:
            arrays[name] = values[: len(values) // 2] if values.ndim else values
        case 2:
            arrays[name] = np.asfortranarray(np.repeat(values[None], 2, 0))
        case 3:
            # Not all can be had from all.
            with contextlib.suppress(ValueError, TypeError):
                arrays[name] = values.astype(rng.choice(["U", "f2", "c8", "S", "i8", "M8[s]", "?"]))
        case 4:
            arrays[name] = np.zeros(rng.choice([(), (0,), (0, 3), (3, 0, 2), (1, 1, 1, 1)]))
        case 5:
            arrays[rng.choice(["X", "Y", "ids", "classes", "split", "split_names", "n_train", "true"])] = values
        case _:
            if flat.size and flat.dtype.kind in "fiu":
                flat = flat.copy()
                extremes = [0, 1, 2, -1, 100] if flat.dtype.kind != "f" else [float("nan"), float("inf"), 1e30, -1]
                flat[rng.randrange(flat.size)] = np.array(rng.choice(extremes)).astype(flat.dtype)
                arrays[name] = flat.reshape(values.shape)
            elif flat.size:
                arrays[name] = np.array([rng.choice(["", " ", "\x07", "a", "a" * 5000]), *flat[1:].tolist()])
    target = io.BytesIO()
    np.savez(target, **arrays)
    return target.getvalue()


BY_SUFFIX: dict[str, list[Mutator]] = {
    ".csv": OF_TEXT,
    ".txt": OF_TEXT,
    ".xml": OF_TEXT,
    ".yaml": OF_TEXT,
    ".jsonl": OF_JSON,
    ".json": OF_JSON,
    ".parquet": [*OF_BYTES, *[frame_value] * 12],
    ".npz": [*OF_BYTES, *[array_value] * 12],
}
