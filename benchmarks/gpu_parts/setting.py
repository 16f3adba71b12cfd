"""What every part is given: the device, the sizes, a folder for its files, and the time that is left."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch


class Budget:
    """So many seconds from now on."""

    def __init__(self, seconds: float) -> None:
        self._started, self._seconds = time.monotonic(), seconds

    @property
    def spent(self) -> float:
        return time.monotonic() - self._started

    @property
    def left(self) -> float:
        return self._seconds - self.spent


@dataclass(frozen=True)
class Scale:
    """image_sizes: pixels of a side -> (images of an epoch, batch size). label_images and classes: of the method's
    functions. photographs: how many distinct JPEG files there are."""

    backbone: str
    image_sizes: dict[int, tuple[int, int]]
    classes: int
    photographs: int
    label_images: int
    bare_steps: int


FULL = Scale(
    "resnet50", {224: (2048, 64), 448: (768, 32)}, classes=80, photographs=256, label_images=82_081, bare_steps=12
)
QUICK = Scale("small", {16: (32, 8)}, classes=5, photographs=4, label_images=2_000, bare_steps=2)

PRECISIONS = ("bf16", "float32", "fp16")
"""In the order in which they are measured, in case the time does not do for all."""


@dataclass(frozen=True)
class Setting:
    device: torch.device
    scale: Scale
    folder: Path
    budget: Budget

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def synchronise(self) -> None:
        """Wait for the device, before a clock is read."""
        if self.on_gpu:
            torch.cuda.synchronize()


def peak_gib(setting: Setting) -> float | None:
    """The most memory that tensors on the GPU took since the last `forget_peak`, in GiB; None on a CPU."""
    return round(torch.cuda.max_memory_allocated() / 2**30, 2) if setting.on_gpu else None


def forget_peak(setting: Setting) -> None:
    if setting.on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
