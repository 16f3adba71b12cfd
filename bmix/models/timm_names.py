"""The names of timm's backbones, apart from what builds them, which imports torch."""

from __future__ import annotations

TIMM_NAMES = {"tresnet_l": "tresnet_l", "efficientnet_lite0": "tf_efficientnet_lite0"}
"""Backbones with a name of their own, and timm's name for them; any other is `timm/NAME`."""

PREFIX = "timm/"


def is_timm(backbone: str) -> bool:
    """Whether timm makes this backbone."""
    return backbone in TIMM_NAMES or backbone.startswith(PREFIX)


def timm_name(backbone: str) -> str:
    """timm's name of a backbone, without `timm/`."""
    return TIMM_NAMES.get(backbone, backbone.removeprefix(PREFIX))
