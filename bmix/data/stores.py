"""What a run reads its instances from, images or stored features, and how views are made of them.

An image is stored once and every view of it is made. Of features V views are stored: view 0 is the
plain one, which the pass after each epoch and the evaluation see, and views are drawn from all V; if there is only one,
noise makes the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bmix.data.augment import Augment
from bmix.data.images import MEMORY_LIMIT, ImageStore
from bmix.data.manifest import FEATURES_FILE, Manifest, holds_features
from bmix.randomness import normals, uniforms
from bmix.support.errors import InputError

STATISTICS_ROWS = 1024


class Store(Protocol):
    """The instances of one split by row. `in_memory`: reading costs next to nothing."""

    in_memory: bool

    def __len__(self) -> int: ...

    def read(self, rows_B: Tensor) -> Tensor:
        """What an augmentation makes views of, (B, ...)."""


class FeatureStore:
    """The stored views of one split by row: in memory while they fit into MEMORY_LIMIT, else read on demand.

    path: what prepare wrote, (N, V, D). rows: those of this split. InputError if the file is missing or another's.
    """

    def __init__(self, path: Path, rows: np.ndarray, total: int) -> None:
        self._rows_N = rows
        self._mapped = _map(path, total)
        _, self.views, self.features = self._mapped.shape
        self.in_memory = len(rows) * self._mapped[:1].nbytes <= MEMORY_LIMIT
        self._features_NVD = torch.from_numpy(self._mapped[rows]) if self.in_memory else None

    def __len__(self) -> int:
        return len(self._rows_N)

    def read(self, rows_B: Tensor) -> Tensor:
        """All stored views of these rows, float16 or float32 (B, V, D)."""
        if self._features_NVD is None:
            return torch.from_numpy(self._mapped[self._rows_N[rows_B.numpy()]])
        return self._features_NVD[rows_B]

    def plain(self, rows_B: Tensor) -> Tensor:
        """View 0 of these rows, (B, D)."""
        if self._features_NVD is None:
            return torch.from_numpy(self._mapped[self._rows_N[rows_B.numpy()], 0])
        return self._features_NVD[rows_B, 0]

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each feature over the plain views, float64 (D,) each."""
        parts = torch.arange(len(self)).split(STATISTICS_ROWS)
        total_D = torch.zeros(self.features, dtype=torch.float64)
        for rows in parts:
            total_D += self.plain(rows).double().sum(0)
        mean_D = total_D / len(self)
        squares_D = torch.zeros_like(mean_D)
        for rows in parts:
            squares_D += (self.plain(rows).double() - mean_D).square_().sum(0)
        return mean_D, (squares_D / len(self)).sqrt()


class FeatureViews:
    """The augmentation of features, each view a pure function of the stored views (B, V, D) and of keys.

    V of 2 and more: a view is one of the stored ones, drawn uniformly. V of 1: the stored one with Gaussian noise of
    `jitter` times each feature's standard deviation.
    """

    def __init__(self, jitter: float, deviation_D: Tensor) -> None:
        self._scale_D = (jitter * deviation_D.double()).float()

    def __call__(self, features_BVD: Tensor, keys_B: np.ndarray) -> Tensor:
        """One view of each row, (B, D)."""
        views = features_BVD.shape[1]
        if views == 1:
            return self._jittered(features_BVD[:, 0], keys_B)
        return _gather(features_BVD, _choices(keys_B, views))

    def distinct(self, features_BVD: Tensor, keys_VB: Sequence[np.ndarray]) -> Tensor:
        """Two views of each row, (2, B, D): two different stored ones, or two copies with noise where V is 1."""
        first, second = keys_VB
        views = features_BVD.shape[1]
        if views == 1:
            return torch.stack([self._jittered(features_BVD[:, 0], keys_B) for keys_B in (first, second)])
        chosen = _choices(first, views)
        other = (chosen + 1 + _choices(second, views - 1)) % views
        return torch.stack([_gather(features_BVD, chosen), _gather(features_BVD, other)])

    def _jittered(self, features_BD: Tensor, keys_B: np.ndarray) -> Tensor:
        noise_BD = torch.from_numpy(normals(keys_B, features_BD.shape[1]).astype(np.float32))
        return features_BD.float() + noise_BD * self._scale_D


def plain_views(store: Store, rows_B: Tensor) -> Tensor:
    """These rows without augmentation: images as stored, or view 0 of features."""
    return store.plain(rows_B) if isinstance(store, FeatureStore) else store.read(rows_B)


def relabelling_views(instances_B: Tensor, augment: Augment | FeatureViews, keys_VB: Sequence[np.ndarray]) -> Tensor:
    """The views that eq. 9 averages over, (VIEWS, B, ...), one for each array of keys."""
    if isinstance(augment, FeatureViews):
        return augment.distinct(instances_B, keys_VB)
    return torch.stack([augment(instances_B, keys_B) for keys_B in keys_VB])


def open_store(manifest: Manifest, split: str, image_root: Path, image_size: int) -> ImageStore | FeatureStore:
    """The instances of one split in manifest order; image_root: the folder that the manifest's paths start from."""
    if holds_features(manifest):
        rows = np.flatnonzero(manifest.frame["split"] == split)
        return FeatureStore(image_root / FEATURES_FILE, rows, len(manifest.frame))
    return ImageStore([image_root / path for path in manifest.paths(split)], image_size)


def all_features(image_root: Path, total: int) -> np.ndarray:
    """The features of every row of the manifest as prepare wrote them, a memory map (N, V, D)."""
    return _map(image_root / FEATURES_FILE, total)


def _choices(keys_B: np.ndarray, count: int) -> np.ndarray:
    """A whole number below `count` for each key, uniform, int64 (B,)."""
    return (uniforms(keys_B, 1)[:, 0] * count).astype(np.int64)


def _gather(features_BVD: Tensor, chosen_B: np.ndarray) -> Tensor:
    return features_BVD[torch.arange(len(features_BVD)), torch.from_numpy(chosen_B)]


def _map(path: Path, total: int) -> np.ndarray:
    """The features of a whole data set as a memory map (N, V, D)."""
    remedy = "run the stage prepare again: dvc repro --force --single-item prepare"
    try:
        # A memory map of its own class would be copied on every use.
        mapped = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(str(path), f"not readable: {error}", "the features of the data set", remedy) from error
    if mapped.ndim != 3 or mapped.dtype not in (np.float16, np.float32) or len(mapped) != total:
        raise InputError(
            str(path), f"{mapped.dtype} {mapped.shape}", f"float16 or float32 of the shape ({total}, V, D)", remedy
        )
    return mapped
