"""torchvision's ResNets."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn

from bmix.models.body import IMAGENET, Body, Normalisation
from bmix.support.errors import InputError
from bmix.torchvision_import import models

CHANNELS = {"resnet18": 512, "resnet50": 2048, "resnet101": 2048}


def body(backbone: str, _image_size: int | None) -> Body:
    """A ResNet without pooling and last layer, its weights drawn from torch's global generator."""
    children = models.get_model(backbone, weights=None).named_children()
    kept = OrderedDict((name, child) for name, child in children if name not in ("avgpool", "fc"))
    return Body(nn.Sequential(kept), CHANNELS[backbone])


def normalisation(_backbone: str) -> Normalisation:
    """ImageNet's."""
    return IMAGENET


def published_weights(backbone: str) -> Mapping[str, Tensor]:
    """torchvision's weights without the last layer, downloaded at the first use. InputError if they cannot be had."""
    published = models.get_model_weights(backbone).IMAGENET1K_V1
    try:
        state = published.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            "model.weights",
            f"is imagenet, but {published.url} cannot be had ({' '.join(str(error).split())})",
            "a connection to torchvision's server, or the file in torch's cache",
            "set model.weights to none, or to the path of a weights file fetched elsewhere",
        ) from error
    return {name: value for name, value in state.items() if not name.startswith("fc.")}
