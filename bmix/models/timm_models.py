"""Backbones of timm, an optional extra: their normalisation and their feature maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bmix.models.body import Body, Normalisation
from bmix.models.registry import PREFIX, backbone_traits
from bmix.support.errors import InputError, nearest


def pretrained_config(backbone: str) -> Any:
    """timm's pretrained_cfg of a backbone: mean, std, input_size, classifier.

    InputError if timm is not installed or knows no such model.
    """
    timm, name = _import_timm(backbone), _timm_name(backbone)
    try:
        config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError:
        # The model is known, but not with this tag of weights.
        config = None
    if config is None:
        known = [*timm.list_models(), *timm.list_pretrained()]
        raise InputError(
            "model.backbone",
            f"is {backbone!r}, which timm {timm.__version__} does not know",
            "timm/ and a name that timm.list_models() or timm.list_pretrained() gives",
            f"correct it.{nearest(backbone, [PREFIX + name for name in known])}",
        )
    return config


def normalisation(backbone: str) -> Normalisation:
    """timm's own. InputError as `pretrained_config`."""
    config = pretrained_config(backbone)
    return tuple(config.mean), tuple(config.std)


def body(backbone: str, image_size: int | None) -> Body:
    """The model without its last layer and pooling, its weights drawn from torch's global generator.

    It is tried on one image of `image_size` (None: of the size that timm names), since many Transformers take one size
    only. Dropout and stochastic depth are off: they would draw from torch's global generator at every step.
    InputError if timm is not installed, knows no such model, or the model takes no such image or gives no map.
    """
    config = pretrained_config(backbone)
    model = _create(backbone)
    _switch_dropout_off(model)
    size = image_size or config.input_size[-1]
    try:
        with torch.no_grad():
            output = model.eval()(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise InputError(
            "model.backbone",
            f"{backbone} does not take images of {size} pixels ({' '.join(str(error).split())[:200]})",
            f"images of the size that it is made for, which timm gives as {config.input_size[-1]}",
            f"set data.image_size to {config.input_size[-1]}, or choose another backbone",
        ) from error
    model.train()
    layout, channels = _layout(backbone, model, output)
    named = config.classifier or ()
    classifiers = (named,) if isinstance(named, str) else tuple(named)
    return Body(model, channels, layout, classifiers)


def _switch_dropout_off(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        # Stochastic depth, and dropout as a function.
        for rate in ("drop_prob", "drop_rate"):
            if isinstance(getattr(module, rate, None), float):
                setattr(module, rate, 0.0)


def _create(backbone: str, pretrained: bool = False) -> nn.Module:
    try:
        return _import_timm(backbone).create_model(
            _timm_name(backbone), pretrained=pretrained, num_classes=0, global_pool=""
        )
    except (AssertionError, TypeError) as error:
        raise InputError(
            "model.backbone",
            f"{backbone} cannot be had without its last layer and pooling ({' '.join(str(error).split())[:200]})",
            "a model whose map of features timm gives",
            "choose another backbone",
        ) from error


class PlacesFirst(nn.Module):
    """Output (B, H, W, C), or tokens (B, T, C) whose first `prefix_tokens` stand for no place, to (B, C, H, W)."""

    def __init__(self, prefix_tokens: int | None) -> None:
        super().__init__()
        self.prefix_tokens = prefix_tokens

    def forward(self, output: Tensor) -> Tensor:
        """Output with the channels last to (B, C, H, W); tokens become one column, (B, C, T, 1)."""
        if self.prefix_tokens is not None:
            output = output[:, self.prefix_tokens :, None]
        return output.permute(0, 3, 1, 2)


def _layout(backbone: str, model: Any, output: object) -> tuple[nn.Module, int]:
    shape = tuple(output.shape) if isinstance(output, Tensor) else None
    channels = {model.num_features, getattr(model, "head_hidden_size", model.num_features)}
    if shape is not None and len(shape) == 4 and shape[1] in channels:
        return nn.Identity(), shape[1]
    if shape is not None and len(shape) == 4 and shape[3] in channels:
        return PlacesFirst(None), shape[3]
    prefix_tokens = getattr(model, "num_prefix_tokens", 0)
    if shape is not None and len(shape) == 3 and shape[2] in channels and shape[1] > prefix_tokens:
        return PlacesFirst(prefix_tokens), shape[2]
    raise InputError(
        "model.backbone",
        f"{backbone} gives {type(output).__name__ if shape is None else f'features of shape {shape}'}",
        "a model of images that gives features (B, C, H, W), (B, H, W, C) or (B, tokens, C)",
        "choose another backbone",
    )


def published_weights(backbone: str) -> Mapping[str, Tensor]:
    """timm's own weights without the last layer, by timm's names. InputError if they cannot be had."""
    pretrained_config(backbone)
    try:
        return _create(backbone, pretrained=True).state_dict()
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            "model.weights",
            f"is imagenet, but timm's weights of {_timm_name(backbone)} cannot be had ({reason})",
            "a model with weights, and a connection to their server or the files in its cache",
            "set model.weights to none, or to the path of a weights file fetched elsewhere",
        ) from error


def _import_timm(backbone: str) -> Any:
    # timm imports torchvision, which needs its door to be opened first.
    import bmix.torchvision_import  # noqa: F401

    try:
        import timm
    except ImportError as error:
        raise InputError(
            "model.backbone",
            f"is {backbone}, which needs timm, and timm cannot be imported ({error})",
            "timm, an optional extra of bmix",
            'run pip install "bmix[timm]", or choose another backbone',
        ) from error
    return timm


def _timm_name(backbone: str) -> str:
    return str(backbone_traits(backbone).timm)
