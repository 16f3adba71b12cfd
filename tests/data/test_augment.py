from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import chisquare

from bmix.data.augment import build_augment
from bmix.data.randaugment import MAGNITUDE, OPERATIONS, SMALLEST_CROP, RandAugment, crop_box, translate_x
from bmix.randomness import keys, uniforms
from bmix.torchvision_import import transforms


def photograph(height: int, width: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(30, 200, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(float)
    return Image.fromarray((smooth + rng.normal(0, 8, smooth.shape)).clip(0, 255).astype(np.uint8))


def torchvision_result(name: str, picture: Image.Image, sign: int) -> Image.Image:
    theirs = transforms.RandAugment()
    magnitudes, signed = theirs._AUGMENTATION_SPACE[name]
    bins = magnitudes(31, picture.height, picture.width)
    magnitude = 0.0 if bins is None else float(bins[MAGNITUDE]) * (sign if signed else 1)
    return theirs._apply_image_or_video_transform(picture, name, magnitude, theirs.interpolation, theirs._fill)


def test_the_operations_are_torchvisions() -> None:
    assert list(OPERATIONS) == list(transforms.RandAugment._AUGMENTATION_SPACE)


@pytest.mark.parametrize("size", [(224, 224), (37, 53), (331, 662)])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_equals_torchvisions_pixel_for_pixel(name: str, sign: int, size: tuple[int, int]) -> None:
    picture = photograph(*size)
    ours = np.asarray(OPERATIONS[name](picture, sign))
    np.testing.assert_array_equal(ours, np.asarray(torchvision_result(name, picture, sign)))
    if name != "Identity":
        assert (ours != np.asarray(picture)).any()


def test_shifts_equal_torchvisions_at_every_size() -> None:
    for size in range(16, 1400, 11):
        picture = Image.new("RGB", (size, 1), "red")
        picture.putpixel((0, 0), (0, 0, 255))
        assert translate_x(picture, 1).tobytes() == torchvision_result("TranslateX", picture, 1).tobytes()


def test_a_view_is_two_drawn_operations_on_the_image_or_its_mirror() -> None:
    pixels = torch.from_numpy(np.asarray(photograph(40, 40)).transpose(2, 0, 1).copy())
    keys_B = keys(np.arange(40), 0, "test")
    views_B = RandAugment(mirror=True)(pixels.expand(40, -1, -1, -1), keys_B)
    mirrored = 0
    for view, draws in zip(views_B, uniforms(keys_B, 5), strict=True):
        picture = photograph(40, 40)
        if draws[0] < 0.5:
            mirrored += 1
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for operation, coin in draws[1:].reshape(2, 2):
            name = list(OPERATIONS)[math.floor(operation * 14)]
            picture = torchvision_result(name, picture, -1 if coin < 0.5 else 1)
        np.testing.assert_array_equal(view.permute(1, 2, 0).numpy(), np.asarray(picture))
    assert 8 < mirrored < 32


@pytest.mark.slow
def test_views_are_distributed_as_torchvisions() -> None:
    picture = photograph(20, 20)
    drawn = [(name, sign) for name in OPERATIONS for sign in (1, -1)]
    chances: dict[bytes, float] = defaultdict(float)
    for (first, first_sign), (second, second_sign) in product(drawn, drawn):
        once = torchvision_result(first, picture, first_sign)
        chances[torchvision_result(second, once, second_sign).tobytes()] += len(drawn) ** -2
    count = 6000
    pixels = torch.from_numpy(np.asarray(picture).transpose(2, 0, 1).copy())
    views = RandAugment(mirror=False)(pixels.expand(count, -1, -1, -1), keys(np.arange(count), 0, "test"))
    seen = Counter(view.permute(1, 2, 0).numpy().tobytes() for view in views)
    assert set(seen) <= set(chances)
    expected = np.array(list(chances.values())) * count
    observed = np.array([seen[result] for result in chances])
    assert chisquare(observed, expected).pvalue > 0.001


def test_only_flip_mirrors() -> None:
    pixels = torch.from_numpy(np.asarray(photograph(24, 24)).transpose(2, 0, 1).copy()).expand(1500, -1, -1, -1)
    keys_B = keys(np.arange(1500), 0, "test")
    plain, flipped = (build_augment(name)(pixels, keys_B) for name in ("randaugment", "randaugment-flip"))
    assert ((plain == pixels) & (flipped == pixels.flip(3))).flatten(1).all(1).any()
    assert 600 < (plain == flipped).flatten(1).all(1).sum() < 900


def test_a_photograph_is_cropped_mirrored_and_changed() -> None:
    pixels = torch.from_numpy(np.asarray(photograph(64, 64)).transpose(2, 0, 1).copy())
    keys_B = keys(np.arange(30), 0, "test")
    views_B = build_augment("photograph")(pixels.expand(30, -1, -1, -1), keys_B)
    assert views_B.shape == (30, 3, 64, 64)
    draws_B = uniforms(keys_B, 9)
    for b in range(30):
        picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
        picture = picture.resize((64, 64), Image.Resampling.BILINEAR, box=crop_box(draws_B[b, 5:], 64, 64))
        if draws_B[b, 0] < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for operation in range(2):
            name = list(OPERATIONS)[int(draws_B[b, 1 + 2 * operation] * len(OPERATIONS))]
            picture = OPERATIONS[name](picture, -1 if draws_B[b, 2 + 2 * operation] < 0.5 else 1)
        assert np.array_equal(views_B[b].permute(1, 2, 0).numpy(), np.asarray(picture))


@given(st.lists(st.floats(0, 0.999), min_size=4, max_size=4), st.integers(1, 500), st.integers(1, 500))
def test_a_crop_lies_in_the_image_and_has_the_area_and_aspect_that_were_drawn(
    draw: list[float], width: int, height: int
) -> None:
    left, top, right, bottom = crop_box(np.array(draw), width, height)
    assert 0 <= left < right <= width * (1 + 1e-9)
    assert 0 <= top < bottom <= height * (1 + 1e-9)
    share = (right - left) * (bottom - top) / (width * height)
    aspect = (right - left) / width / ((bottom - top) / height)
    drawn = SMALLEST_CROP + (1 - SMALLEST_CROP) * draw[0]
    # A box that is longer than the image is cut to it, and so smaller than drawn.
    assert share == pytest.approx(drawn) or (
        share < drawn and (right - left > 0.999 * width or bottom - top > 0.999 * height)
    )
    assert 3 / 4 - 1e-9 <= aspect <= 4 / 3 + 1e-9
