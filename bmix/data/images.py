"""Image files as square uint8 tensors, held in memory where they fit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import get_worker_info

from bmix.data.decoding import UnusableImageError, decode, upright
from bmix.errors import InputError

MEMORY_LIMIT = 4 * 2**30
"""Bytes of decoded images that one ImageStore keeps; above it every read decodes its files again."""


def image_tensor(picture: Image.Image, image_size: int) -> Tensor:
    """A picture as uint8 (3, image_size, image_size): turned as its EXIF says, RGB, resized with antialiasing.

    The aspect ratio is not kept: every part of the picture stays visible.
    """
    return _resized(upright(picture), image_size)


def load_image(path: Path, image_size: int) -> Tensor:
    """Decode one image file to uint8 (3, image_size, image_size); InputError names a file that cannot be decoded."""
    try:
        return _resized(decode(path), image_size)
    except UnusableImageError as error:
        raise InputError(
            str(path), f"not readable as an image: {error}", "an image file", "replace the file, or drop its row"
        ) from error


def _resized(picture: Image.Image, image_size: int) -> Tensor:
    if picture.size != (image_size, image_size):
        picture = picture.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(picture).transpose(2, 0, 1).copy())


class ImageStore:
    """The images of one split by row: decoded once and kept while they fit into MEMORY_LIMIT, else read on demand."""

    def __init__(self, paths: Sequence[Path], image_size: int) -> None:
        self.paths = list(paths)
        self.image_size = image_size
        self.in_memory = len(self.paths) * 3 * image_size**2 <= MEMORY_LIMIT
        self._images_N: Tensor | None = self._decode(range(len(self.paths))) if self.in_memory else None

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows_B: Tensor) -> Tensor:
        """The images of these rows, uint8 (B, 3, image_size, image_size)."""
        return self._decode(rows_B.tolist()) if self._images_N is None else self._images_N[rows_B]

    def _decode(self, rows: Sequence[int]) -> Tensor:
        images = torch.empty((len(rows), 3, self.image_size, self.image_size), dtype=torch.uint8)

        def decode(position: int) -> None:
            images[position] = load_image(self.paths[rows[position]], self.image_size)

        # PIL gives the interpreter lock free while it decodes.
        # Loader processes share the cores already.
        threads = 1 if get_worker_info() else min(8, os.cpu_count() or 1)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(decode, range(len(rows))))
        return images
