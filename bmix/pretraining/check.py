"""Pre-training that cannot be is refused before any stage runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bmix.support.errors import InputError

if TYPE_CHECKING:
    from bmix.params import Params


def check_pretraining(params: Params, holds_features: bool) -> None:
    """InputError for features, which have no backbone to train, and for two views of an image that are the same."""
    method = params.pretrain.method
    if method == "off":
        return
    if holds_features:
        raise InputError(
            "params.yaml, pretrain.method",
            f"{method}, and the data is features",
            "images: features are read by no backbone that could be trained",
            "set it to off, or use the images themselves",
        )
    if method == "simsiam" and params.data.augment == "none":
        raise InputError(
            "params.yaml, pretrain.method",
            "simsiam, and data.augment is none",
            "two views of an image that differ",
            "set data.augment to photograph, or pretrain.method to rotation",
        )
