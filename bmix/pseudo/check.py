"""Pseudo-labels that cannot be are refused before any stage runs."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from bmix.support.errors import InputError

if TYPE_CHECKING:
    from bmix.params import Params


def check_pseudo(params: Params, splits: Collection[str], where: str) -> None:
    """InputError where there is no image to label, or no epoch that would learn from them. where: the data."""
    if not params.pseudo.use:
        return
    if "unlabelled" not in splits:
        raise InputError(
            "params.yaml, pseudo.use",
            f"true, and no image of {where} is in split unlabelled",
            "images without labels, which get pseudo-labels",
            "give such images the split unlabelled (docs/data.md; data.splits, e.g. unlabelled=extra), or set it to "
            "false",
        )
    training = params.training
    if training.warmup_epochs >= training.epochs:
        raise InputError(
            "params.yaml, pseudo.use",
            f"true, and warm-up takes all {training.epochs} epochs",
            "epochs after warm-up, which learn from pseudo-labels",
            "lower training.warmup_epochs, or raise training.epochs",
        )
