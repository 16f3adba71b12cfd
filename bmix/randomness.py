"""Random numbers that depend on a seed and a purpose only, never on what was drawn before."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def derive_seed(seed: int, *purpose: str | int) -> int:
    """A seed in [0, 2^63) for one purpose, e.g. `derive_seed(0, "mixing", epoch)`."""
    text = "\x1f".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def numpy_generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A numpy generator for one purpose."""
    return np.random.default_rng(derive_seed(seed, *purpose))


def torch_generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A torch CPU generator for one purpose; draw on the CPU and move, so that devices see the same numbers."""
    # The checks before a run use numpy alone, and torch takes seconds to import.
    import torch

    return torch.Generator().manual_seed(derive_seed(seed, *purpose))


def _splitmix(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))


def keys(positions: np.ndarray, seed: int, *purpose: str | int) -> np.ndarray:
    """One uint64 key per position: the position's own random stream for this purpose, whatever is drawn beside it."""
    start = np.uint64(derive_seed(seed, *purpose))
    with np.errstate(over="ignore"):
        return _splitmix(start + (np.asarray(positions).astype(np.uint64) + np.uint64(1)) * _GOLDEN)


def uniforms(keys_B: np.ndarray, count: int) -> np.ndarray:
    """`count` uniform numbers in [0, 1) for each key, float64 (B, count)  (SplitMix64: Steele, Lea, Flood 2014)."""
    steps = np.arange(1, count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        state = _splitmix(keys_B[:, None] + steps * _GOLDEN)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normals(keys_B: np.ndarray, count: int) -> np.ndarray:
    """`count` standard normal numbers for each key, float64 (B, count)  (Box and Muller 1958)."""
    pairs = (count + 1) // 2
    drawn = uniforms(keys_B, 2 * pairs)
    # From (0, 1], of which the logarithm is finite.
    radius, angle = np.sqrt(-2 * np.log(1 - drawn[:, :pairs])), 2 * np.pi * drawn[:, pairs:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :count]
