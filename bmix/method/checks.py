"""Checks of the arguments of the method's functions."""

from __future__ import annotations

import torch
from torch import Tensor

from bmix.support.errors import InputError


def check_shape(name: str, shape: tuple[int, ...], beside: str, expected: tuple[int, ...]) -> None:
    """InputError if two arguments differ in shape; the names are those of the message."""
    if tuple(shape) != tuple(expected):
        raise InputError(
            name,
            f"shape {tuple(shape)} beside {beside} of shape {tuple(expected)}",
            "one shape",
            "pass both for the same images and the same classes",
        )


def check_given(given: Tensor) -> None:
    """InputError for a given label other than 0 and 1; a bool tensor costs nothing."""
    if given.dtype == torch.bool or not bool((wrong := (given != 0) & (given != 1)).any()):
        return
    expected, remedy = "0 (absent) or 1 (present)", "turn the labels into 0 and 1, or into bool, first"
    raise _refusal("given label", given, wrong, expected, remedy)


def check_fractions(name: str, values: Tensor, *, nan_passes: bool = False) -> None:
    """InputError for a number outside [0, 1], and for NaN unless `nan_passes`."""
    if not values.numel():
        return
    least, largest = values.aminmax()
    if bool((least >= 0) & (largest <= 1)):
        return
    wrong = (values < 0) | (values > 1)
    if not nan_passes:
        wrong |= values.isnan()
    if bool(wrong.any()):
        remedy = "pass probabilities, not logits, and look whether the model's outputs are finite"
        raise _refusal(name, values, wrong, "a number from 0 to 1", remedy)


def _refusal(name: str, values: Tensor, wrong: Tensor, expected: str, remedy: str) -> InputError:
    """Of the first of the wrong values."""
    index = tuple(wrong.nonzero()[0].tolist())
    return InputError(f"{name} at index {index}", str(values[index].item()), expected, remedy)
