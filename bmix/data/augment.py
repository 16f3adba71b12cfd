"""Views of images: label-preserving augmentation in which every view has a random stream of its own.

A view is a pure function of the image and of a 64-bit key, so that batches, workers and resumed runs agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from bmix.data.randaugment import RandAugment
from bmix.randomness import uniforms

Augment = Callable[[Tensor, np.ndarray], Tensor]
"""(images uint8 (B, 3, H, W), keys uint64 (B,)) -> views uint8 (B, 3, H, W)"""

SHIFT = 0.05
TURN_DEGREES = 8.0
ZOOM = 0.08
CONTRAST = 0.2
BRIGHTNESS = 0.1


def identity(images_B: Tensor, keys_B: np.ndarray) -> Tensor:
    """The images as they are."""
    return images_B


def gentle(images_B: Tensor, keys_B: np.ndarray) -> Tensor:
    """Small shifts (5 %), turns (8°), zooms (8 %), contrast (20 %) and brightness (10 %), for the whole batch at once.

    Nothing is mirrored, and all three at once move a border by a sixth of the side at most: digits stay what they are.
    """
    draw_B6 = torch.from_numpy(uniforms(keys_B, 6) * 2 - 1).to(images_B.device, torch.float32)
    turn, zoom = draw_B6[:, 0] * math.radians(TURN_DEGREES), 1 + draw_B6[:, 1] * ZOOM
    cosine, sine = torch.cos(turn) * zoom, torch.sin(turn) * zoom
    # affine_grid's coordinates run from -1 to 1, so a shift by a share of the side counts twice.
    across, down = draw_B6[:, 2] * 2 * SHIFT, draw_B6[:, 3] * 2 * SHIFT
    affine_B23 = torch.stack([torch.stack([cosine, -sine, across], 1), torch.stack([sine, cosine, down], 1)], 1)
    pixels_B = images_B.float()
    grid_B = affine_grid(affine_B23, list(images_B.shape), align_corners=False)
    pixels_B = grid_sample(pixels_B, grid_B, mode="bilinear", padding_mode="border", align_corners=False)
    contrast = (1 + draw_B6[:, 4] * CONTRAST)[:, None, None, None]
    brightness = (draw_B6[:, 5] * BRIGHTNESS * 255)[:, None, None, None]
    return ((pixels_B - 127.5) * contrast + 127.5 + brightness).round_().clamp_(0, 255).to(torch.uint8)


def build_augment(name: str) -> Augment:
    """The augmentation that `data.augment` names."""
    if name == "none":
        return identity
    if name == "gentle":
        return gentle
    photograph = name == "photograph"
    return RandAugment(mirror=photograph or name == "randaugment-flip", crop=photograph)
