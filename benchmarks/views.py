"""Views of photographs: what training prepares of one image against decoding and augmenting each view by itself.

One training view and two relabelling views of 500 x 375 JPEGs at 224 pixels, by RandAugment, on one core. Peer: PIL
opens, decodes and resizes, and torchvision's RandAugment augments, once for each view.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bmix.data import images as images_module
from bmix.data.augment import build_augment
from bmix.data.image_cache import VARIABLE
from bmix.data.images import ImageStore
from bmix.training.steps import EpochPairs, EpochSteps

IMAGES, BATCH = 128, 32
WIDTH, HEIGHT, SIDE = 500, 375, 224
ROUNDS = 7


def bench() -> dict[str, object]:
    """Medians of interleaved rounds, in ms per image; `ratio` without the cache on disk, `ratio_cached` with it."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [write_photograph(folder / f"{number}.jpg", number) for number in range(IMAGES)]
        # As for a data set that does not fit into memory.
        images_module.MEMORY_LIMIT = 0
        os.environ.pop(VARIABLE, None)
        decoding = ImageStore(paths, SIDE)
        os.environ[VARIABLE] = name
        cached = ImageStore(paths, SIDE)
        ways: dict[str, Callable[[], None]] = {
            "ours": lambda: run_steps(decoding),
            "cached": lambda: run_steps(cached),
            "peer": lambda: view_by_view(paths),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(ROUNDS + 1):
            for way, work in ways.items():
                started = time.perf_counter()
                work()
                # The first round finds files and code cold.
                if number:
                    seconds[way].append(time.perf_counter() - started)
    ms = {way: 1000 * statistics.median(values) / IMAGES for way, values in seconds.items()}
    for way, value in ms.items():
        spread = (1000 * bound / IMAGES for bound in (min(seconds[way]), max(seconds[way])))
        print(f"{way:7} {value:6.2f} ms per image, {' to '.join(f'{bound:.2f}' for bound in spread)}")
    return {
        "ours": round(ms["ours"], 3),
        "cached": round(ms["cached"], 3),
        "peer": round(ms["peer"], 3),
        "unit": "ms per image",
        "rounds": ROUNDS,
        "ratio": round(ms["peer"] / ms["ours"], 2),
        "ratio_cached": round(ms["peer"] / ms["cached"], 2),
    }


def run_steps(images: ImageStore) -> None:
    """One epoch's views as training asks for them, all images doubtful."""
    pairs = EpochPairs(torch.arange(IMAGES), None, None)
    doubtful_N = torch.ones(IMAGES, dtype=torch.bool)
    steps = EpochSteps(images, build_augment("randaugment"), pairs, doubtful_N, BATCH, seed=0, epoch=1)
    for step in range(len(steps)):
        views = steps[step].random
        if views.relabel is None or views.relabel.shape != (2, BATCH, 3, SIDE, SIDE) or len(views.train) != BATCH:
            raise RuntimeError("not the views that were asked for")


def view_by_view(paths: list[Path]) -> None:
    """The obvious way: a data set that opens the file for every view, stacked to batches."""
    # It takes seconds to import, and others take the photographs alone from here.
    from bmix.torchvision_import import transforms

    augment = transforms.RandAugment()

    def view(path: Path) -> Tensor:
        with Image.open(path) as picture:
            resized = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return transforms.functional.pil_to_tensor(augment(resized))

    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        for _ in ("train", "relabel 0", "relabel 1"):
            torch.stack([view(path) for path in batch])


def write_photograph(path: Path, seed: int) -> Path:
    """Soft colours with grain on them, as JPEG of quality 90."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(float)
    grain = rng.normal(0, 8, (HEIGHT, WIDTH, 1))
    Image.fromarray((soft + grain).clip(0, 255).astype(np.uint8)).save(path, "JPEG", quality=90)
    return path
