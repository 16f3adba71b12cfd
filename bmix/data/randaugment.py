"""RandAugment (Cubuk et al. 2020) as torchvision applies it: 2 of 14 operations at magnitude 9, drawn for every image.

The operations are PIL's, pixel for pixel those of torchvision.transforms.v2.RandAugment on PIL images; the draws come
from keys, so that no global generator is touched and a view is a pure function of its image and key.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from bmix.randomness import uniforms

OPERATIONS_PER_VIEW = 2
MAGNITUDE, BINS = 9, 31
"""Magnitude 9 of the bins 0 to 30, between no change and the largest change."""

SMALLEST_CROP = 0.4
"""Of the image's area."""
LARGEST_ASPECT = 4 / 3

LARGEST_SHEAR = 0.3
LARGEST_SHIFT = 150 / 331
"""As a share of the side."""

LARGEST_TURN = 30.0
LARGEST_ENHANCEMENT = 0.9
BLACK = (0, 0, 0)


@functools.cache
def strength(largest: float, smallest: float = 0.0) -> float:
    """The value of MAGNITUDE on an even scale, rounded to float32 on the way as torchvision does."""
    return float(torch.linspace(smallest, largest, BINS)[MAGNITUDE])


POSTERIZE_BITS = round(8 - 4 * MAGNITUDE / (BINS - 1))
SOLARIZE_THRESHOLD = 255.0 * strength(0.0, 1.0)


def _affine(picture: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return picture.transform(
        picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST, fillcolor=BLACK
    )  # fmt: skip


def shear_x(picture: Image.Image, sign: int) -> Image.Image:
    """Each row moved by its distance from the upper left corner."""
    return _affine(picture, (1, sign * strength(LARGEST_SHEAR), 0, 0, 1, 0))


def shear_y(picture: Image.Image, sign: int) -> Image.Image:
    """Each column moved by its distance from the upper left corner."""
    return _affine(picture, (1, 0, 0, sign * strength(LARGEST_SHEAR), 1, 0))


def translate_x(picture: Image.Image, sign: int) -> Image.Image:
    """All moved to the right (sign 1) or left by whole pixels."""
    return _affine(picture, (1, 0, -sign * int(strength(LARGEST_SHIFT * picture.width)), 0, 1, 0))


def translate_y(picture: Image.Image, sign: int) -> Image.Image:
    """All moved down (sign 1) or up by whole pixels."""
    return _affine(picture, (1, 0, 0, 0, 1, -sign * int(strength(LARGEST_SHIFT * picture.height))))


def rotate(picture: Image.Image, sign: int) -> Image.Image:
    """Turned about the centre, to the left for sign 1."""
    return picture.rotate(sign * strength(LARGEST_TURN), Image.Resampling.NEAREST, fillcolor=BLACK)


def _enhanced(enhancer: Callable[[Image.Image], ImageEnhance._Enhance]) -> Callable[[Image.Image, int], Image.Image]:
    def operation(picture: Image.Image, sign: int) -> Image.Image:
        return enhancer(picture).enhance(1.0 + sign * strength(LARGEST_ENHANCEMENT))

    return operation


OPERATIONS: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    "Identity": lambda picture, sign: picture,
    "ShearX": shear_x,
    "ShearY": shear_y,
    "TranslateX": translate_x,
    "TranslateY": translate_y,
    "Rotate": rotate,
    "Brightness": _enhanced(ImageEnhance.Brightness),
    "Color": _enhanced(ImageEnhance.Color),
    "Contrast": _enhanced(ImageEnhance.Contrast),
    "Sharpness": _enhanced(ImageEnhance.Sharpness),
    "Posterize": lambda picture, sign: ImageOps.posterize(picture, POSTERIZE_BITS),
    # PIL compares whole numbers with the threshold, which need not be one.
    "Solarize": lambda picture, sign: ImageOps.solarize(picture, SOLARIZE_THRESHOLD),  # type: ignore[arg-type]
    "AutoContrast": lambda picture, sign: ImageOps.autocontrast(picture),
    "Equalize": lambda picture, sign: ImageOps.equalize(picture),
}
"""(picture, sign 1 or -1) -> picture of the same size; under torchvision's names, in its order. Some have no sign."""

_APPLIED = list(OPERATIONS.values())


def crop_box(draw_4: np.ndarray, width: int, height: int) -> tuple[float, float, float, float]:
    """The box (left, top, right, bottom) of a random crop, in pixels, from four numbers in [0, 1).

    Its area is a share of the image's between SMALLEST_CROP and 1, its aspect ratio between 3/4 and 4/3 of the image's,
    uniform in the logarithm; a box longer than the image is cut to it. Its place is uniform.
    """
    area = SMALLEST_CROP + (1 - SMALLEST_CROP) * draw_4[0]
    stretch = math.exp((2 * draw_4[1] - 1) * math.log(LARGEST_ASPECT)) ** 0.5
    across, down = min(1.0, math.sqrt(area) * stretch) * width, min(1.0, math.sqrt(area) / stretch) * height
    left, top = draw_4[2] * (width - across), draw_4[3] * (height - down)
    return left, top, left + across, top + down


class RandAugment:
    """(images uint8 (B, 3, H, W), keys uint64 (B,)) -> views: a crop and a mirror if asked for, then 2 operations.

    crop: a random part, see `crop_box`, resized to the whole (bilinear). mirror: half the time. Each operation is drawn
    uniformly from OPERATIONS, with replacement, and its sign by a coin.
    """

    def __init__(self, mirror: bool, crop: bool = False) -> None:
        self.mirror, self.crop = mirror, crop

    def __call__(self, images_B: Tensor, keys_B: np.ndarray) -> Tensor:
        """The views, on the device of the images."""
        own = 1 + 2 * OPERATIONS_PER_VIEW
        draw_B = uniforms(keys_B, own + 4)
        crops_B4, draw_B = draw_B[:, own:], draw_B[:, :own]
        mirrored_B = (draw_B[:, 0] < 0.5) & self.mirror
        operations_B = (draw_B[:, 1::2] * len(_APPLIED)).astype(int).tolist()
        signs_B = np.where(draw_B[:, 2::2] < 0.5, -1, 1).tolist()
        pixels_B = images_B.cpu().numpy()
        views_B = np.empty_like(pixels_B)
        for pixels, view, crop_4, mirrored, operations, signs in zip(
            pixels_B, views_B, crops_B4, mirrored_B, operations_B, signs_B, strict=True
        ):
            picture = Image.merge("RGB", [Image.fromarray(channel) for channel in pixels])
            if self.crop:
                box = crop_box(crop_4, *picture.size)
                picture = picture.resize(picture.size, Image.Resampling.BILINEAR, box=box)
            if mirrored:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            for operation, sign in zip(operations, signs, strict=True):
                picture = _APPLIED[operation](picture, sign)
            for channel, band in zip(view, picture.split(), strict=True):
                channel[:] = np.asarray(band)
        return torch.from_numpy(views_B).to(images_B.device)
