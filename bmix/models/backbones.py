"""Networks from normalised images, or from features, to one logit per class."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn

from bmix.models.heads import PooledHead, Standardise
from bmix.models.networks import FeatureNetwork, ImageNetwork
from bmix.models.query_decoder import QueryDecoder
from bmix.models.timm_models import build_backbone, download, pretrained_config
from bmix.models.timm_names import TIMM_NAMES, is_timm
from bmix.models.weights import load_state, read_weights
from bmix.randomness import derive_seed
from bmix.support.errors import InputError, nearest

BACKBONES = ("small", "resnet18", "resnet50", "resnet101", *TIMM_NAMES, "identity")
HEADS = ("linear", "mlp", "decoder")

Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Mean and standard deviation of red, green and blue, for pixel values in [0, 1]."""

_IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_RESNET_CHANNELS = {"resnet18": 512, "resnet50": 2048, "resnet101": 2048}


class SmallBackbone(nn.Module):
    """Five 3×3 convolutions with batch norm and ReLU: (B, 3, H, W) float to (B, 128, H/8, W/8), H and W at least 8.

    Made for scenes of about 40 pixels with several small objects, under a head with global max pooling: the maximum
    over all places fits labels that say that something is present, not how often or where.
    """

    channels = 128

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            # The first layer sees every pixel: at half the resolution, strokes as thin as these are learnt far slower.
            *_convolution(3, 16),
            nn.MaxPool2d(2),
            *_convolution(16, 32),
            nn.MaxPool2d(2),
            *_convolution(32, 64),
            nn.MaxPool2d(2),
            *_convolution(64, 128),
            *_convolution(128, self.channels),
        )

    def forward(self, images_B: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to features (B, 128, H/8, W/8)."""
        return self.features(images_B)


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def normalisation(backbone: str) -> Normalisation:
    """The mean and standard deviation that a backbone's images are normalised with: ImageNet's for the ResNets.

    Those of timm's models are timm's. InputError where timm is needed and absent, or does not know the model.
    """
    if backbone == "identity":
        return ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    if is_timm(backbone):
        config = pretrained_config(backbone)
        return tuple(config.mean), tuple(config.std)
    return ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)) if backbone == "small" else _IMAGENET


def is_backbone(name: object) -> bool:
    """Whether a name is one of BACKBONES or begins with `timm/`; which models timm has, timm alone can tell."""
    return isinstance(name, str) and (name in BACKBONES or is_timm(name))


def build_classifier(
    backbone: str,
    head: str,
    class_count: int,
    weights: str,
    seed: int,
    feature_count: int | None = None,
    queries: int = 0,
    image_size: int | None = None,
) -> ImageNetwork | FeatureNetwork:
    """A network from normalised images (B, 3, H, W) float to logits (B, class_count), in training mode on the CPU.

    The backbone `identity` takes features (B, feature_count) float instead; their scaling is the trainer's to set, by
    `network.standardise.fit(mean_D, deviation_D)`. `timm/NAME` is any model of timm, which must take images of
    `image_size` where that is given.
    The head `linear` is global pooling and one linear layer, `mlp` has a hidden layer between them, and `decoder` has
    `queries` queries (0: one per class), at most one per class.
    `weights` is `none`, `imagenet` (torchvision's or timm's, downloaded at the first use) or the path of a safetensors
    or torch file, whose last layer may be absent or of another size: it is then drawn anew. What is drawn depends on
    `seed` alone, and torch's global generators stay as they were.
    InputError: an unknown backbone or head, a head that the backbone cannot have, fewer than one class, more queries
    than classes, no feature_count for `identity`, timm absent, weights that cannot be had or do not fit.
    """
    if not is_backbone(backbone):
        _refuse("model.backbone", backbone, (*BACKBONES, "timm/NAME"))
    if head not in HEADS:
        _refuse("model.head", head, HEADS)
    if class_count < 1:
        raise InputError("class_count", f"is {class_count}", "at least one class", "give the data's class names")
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # torch.manual_seed would reseed the accelerators' generators too.
        torch.default_generator.manual_seed(derive_seed(seed, "weights"))
        if backbone == "identity":
            network: ImageNetwork | FeatureNetwork = _feature_network(head, class_count, feature_count)
        else:
            network = _image_network(backbone, head, class_count, queries, image_size)
        if weights == "imagenet":
            load_state(network, _download(backbone), "imagenet")
    if weights not in ("none", "imagenet"):
        path = Path(weights)
        load_state(network, read_weights(path), str(path))
    return network


def _refuse(where: str, name: str, known: tuple[str, ...]) -> NoReturn:
    raise InputError(where, f"is {name!r}", f"one of {', '.join(known)}", f"correct it.{nearest(name, known)}")


def _feature_network(head: str, class_count: int, feature_count: int | None) -> FeatureNetwork:
    if head == "decoder":
        raise InputError(
            "model.head",
            "is decoder, but the backbone identity gives no map of places for its queries to look at",
            "linear or mlp for this backbone",
            "set model.head to mlp",
        )
    if feature_count is None or feature_count < 1:
        raise InputError(
            "feature_count", f"is {feature_count}", "the number of features per row, at least 1", "give it"
        )
    return FeatureNetwork(Standardise(feature_count), PooledHead(feature_count, class_count, head == "mlp"))


def _image_network(backbone: str, head: str, class_count: int, queries: int, image_size: int | None) -> ImageNetwork:
    layout, classifiers = None, ("fc",)
    if backbone == "small":
        body: nn.Module = SmallBackbone()
        channels = SmallBackbone.channels
    elif is_timm(backbone):
        body, layout, channels = build_backbone(backbone, image_size)
        named = pretrained_config(backbone).classifier or ()
        classifiers = (named,) if isinstance(named, str) else tuple(named)
    else:
        body, channels = _resnet(backbone), _RESNET_CHANNELS[backbone]
    if head != "decoder":
        pooled = PooledHead(channels, class_count, hidden=head == "mlp", maximum=backbone == "small")
        return ImageNetwork(body, pooled, classifiers, layout)
    if not 0 <= queries <= class_count:
        raise InputError(
            "model.queries",
            f"is {queries}",
            f"at most the number of classes, {class_count}, or 0 for one query per class",
            "set model.queries to 0",
        )
    return ImageNetwork(body, QueryDecoder(channels, class_count, queries or class_count), classifiers, layout)


def _resnet(backbone: str) -> nn.Module:
    # Imported here: the small network needs no torchvision, which takes a second or two.
    from bmix.torchvision_import import models

    children = models.get_model(backbone, weights=None).named_children()
    return nn.Sequential(OrderedDict((name, child) for name, child in children if name not in ("avgpool", "fc")))


def _download(backbone: str) -> Mapping[str, Tensor]:
    remedy = "set model.weights to none, or to the path of a weights file fetched elsewhere"
    if backbone in ("small", "identity"):
        raise InputError(
            "model.weights",
            f"is imagenet, but the backbone {backbone} was never trained on ImageNet",
            "none or a path for this backbone; imagenet for the ResNets and for timm's models",
            remedy,
        )
    if is_timm(backbone):
        return download(backbone)
    from bmix.torchvision_import import models

    published = models.get_model_weights(backbone).IMAGENET1K_V1
    try:
        state = published.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            "model.weights",
            f"is imagenet, but {published.url} cannot be had ({' '.join(str(error).split())})",
            "a connection to torchvision's server, or the file in torch's cache",
            remedy,
        ) from error
    return {name: value for name, value in state.items() if not name.startswith("fc.")}
