"""Image files as square uint8 tensors, held in memory where they fit."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import get_worker_info

from bmix.data.decoding import UnusableImageError, decode, upright
from bmix.data.image_cache import CachedImages, cache_folder
from bmix.support.errors import InputError

MEMORY_LIMIT = 4 * 2**30
"""Bytes of decoded images that one ImageStore keeps; above it every read decodes its files again, or asks the cache."""

DECODED_AT_ONCE = 256


def image_tensor(picture: Image.Image, image_size: int) -> Tensor:
    """A picture as uint8 (3, image_size, image_size): turned as its EXIF says, RGB, resized with antialiasing.

    The aspect ratio is not kept: every part of the picture stays visible.
    """
    return torch.from_numpy(_square(upright(picture), image_size))


def load_image(path: Path, image_size: int) -> Tensor:
    """Decode one image file to uint8 (3, image_size, image_size); InputError names a file that cannot be decoded.

    As `image_tensor`, except that of a much larger JPEG a part of the resolution is decoded only (see `decode`).
    """
    return torch.from_numpy(_load(path, image_size))


def decode_image(content: bytes, image_size: int, most_pixels: int | None = None) -> Tensor:
    """As `load_image`, of the bytes of a file; UnusableImageError as `decode`."""
    picture = decode(io.BytesIO(content), at_least=image_size, most_pixels=most_pixels)
    return torch.from_numpy(_square(picture, image_size))


def _load(path: Path, image_size: int) -> np.ndarray:
    try:
        return _square(decode(path, at_least=image_size), image_size)
    except UnusableImageError as error:
        raise InputError(
            str(path), f"not readable as an image: {error}", "an image file", "replace the file, or drop its row"
        ) from error


def _square(picture: Image.Image, image_size: int) -> np.ndarray:
    if picture.size != (image_size, image_size):
        picture = picture.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.stack([np.asarray(band) for band in picture.split()])


def usable_cores() -> int:
    """The cores that this process may run on, where the system tells, else all there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ImageStore:
    """The images of one split by row: decoded once and kept while they fit into MEMORY_LIMIT, else read on demand.

    Where BMIX_IMAGE_CACHE names a folder, decoded images are kept there (see `bmix.data.image_cache`) and each file is
    decoded once for all runs. What `read` gives is the same.
    """

    def __init__(self, paths: Sequence[Path], image_size: int) -> None:
        self.paths = list(paths)
        self.image_size = image_size
        self.in_memory = len(self.paths) * 3 * image_size**2 <= MEMORY_LIMIT
        folder = cache_folder()
        self._cached: CachedImages | None = None
        if folder is not None and self.paths:
            self._cached = CachedImages(folder, self.paths, image_size, self._decode_all)
        self._images_N: Tensor | None = None
        if self.in_memory:
            self._images_N = self.read(torch.arange(len(self.paths)))

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows_B: Tensor) -> Tensor:
        """The images of these rows, uint8 (B, 3, image_size, image_size)."""
        if self._images_N is not None:
            return self._images_N[rows_B]
        if self._cached is not None:
            return self._cached.read(rows_B)
        return torch.from_numpy(self._decode(rows_B.tolist()))

    def _decode_all(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self.paths), DECODED_AT_ONCE):
            yield self._decode(range(start, min(start + DECODED_AT_ONCE, len(self.paths))))

    def _decode(self, rows: Sequence[int]) -> np.ndarray:
        images = np.empty((len(rows), 3, self.image_size, self.image_size), np.uint8)

        def load(position: int) -> None:
            images[position] = _load(self.paths[rows[position]], self.image_size)

        # PIL gives the interpreter lock free while it decodes.
        # Loader processes share the cores already.
        threads = 1 if get_worker_info() else min(8, usable_cores())
        if threads == 1:
            list(map(load, range(len(rows))))
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(load, range(len(rows))))
        return images
