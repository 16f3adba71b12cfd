"""Random flipping: every label on its own."""

from __future__ import annotations

import numpy as np

from bmix.noise.request import Request

_BYTES_AT_ONCE = 2**18


def flip(labels_NK: np.ndarray, request: Request, rng: np.random.Generator) -> np.ndarray:
    """A label flips by its random byte or by a second, rare chance; together they make up the rate.

    A byte is below the whole part of 256·rate with the chance a; the second chance is (rate - a) / (1 - a).
    """
    flipped_NK = np.empty_like(labels_NK)
    labels, flipped = labels_NK.reshape(-1), flipped_NK.reshape(-1)
    below = int(256 * request.rate)
    # SFC64 draws in two thirds of the time of numpy's default.
    fast = np.random.Generator(np.random.SFC64(rng.integers(2**32, size=4).tolist()))
    for low in range(0, len(labels), _BYTES_AT_ONCE):
        part = slice(low, low + _BYTES_AT_ONCE)
        words = fast.integers(2**64 - 1, size=_BYTES_AT_ONCE // 8, dtype=np.uint64, endpoint=True)
        byte = words.astype("<u8", copy=False).view(np.uint8)[: len(labels[part])]
        np.bitwise_xor(labels[part], (byte < np.uint8(below)).view(np.uint8), out=flipped[part])
    rest = _hit_cells(len(labels), (256 * request.rate - below) / (256 - below), fast)
    flipped[rest] = labels[rest] ^ 1
    return flipped_NK


def _hit_cells(cells: int, chance: float, rng: np.random.Generator) -> np.ndarray:
    """Which of so many cells are hit, ascending, each with the chance: gaps between hits are geometric."""
    if chance == 0:
        return np.empty(0, dtype=np.int64)
    parts = [np.array([-1])]
    while parts[-1][-1] < cells:
        expected = (cells - parts[-1][-1]) * chance
        gaps = rng.geometric(chance, size=int(expected + 4 * expected**0.5) + 1)
        parts.append(parts[-1][-1] + np.minimum(gaps, cells + 1).cumsum())
    found = np.concatenate(parts[1:])
    return found[: found.searchsorted(cells)]
