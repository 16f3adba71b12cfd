"""EfficientNet-Lite0's tensors by the names of EfficientNet-PyTorch, renamed to timm's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_DEPTHS = (1, 2, 2, 3, 3, 4, 1)
"""Blocks per stage: EfficientNet-PyTorch counts blocks through, timm within their stage."""

_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLACE = {
    sum(_DEPTHS[:stage]) + position: (stage, position)
    for stage, depth in enumerate(_DEPTHS)
    for position in range(depth)
}


def from_efficientnet_pytorch(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors by the names of timm's tf_efficientnet_lite0; names of neither kind stay as they are."""
    return {_renamed(name): value for name, value in state.items()}


def _renamed(name: str) -> str:
    match = re.fullmatch(r"(?:_blocks\.(\d{1,3})\.)?(_[a-z0-9_]+)\.([a-z_]+)", name)
    if match is None:
        return name
    block, layer, tensor = match.groups()
    if block is None:
        return f"{_OUTSIDE[layer]}.{tensor}" if layer in _OUTSIDE else name
    layers = _FIRST_BLOCK if int(block) == 0 else _BLOCK
    if int(block) not in _PLACE or layer not in layers:
        return name
    stage, position = _PLACE[int(block)]
    return f"blocks.{stage}.{position}.{layers[layer]}.{tensor}"
