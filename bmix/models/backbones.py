"""Networks from normalised images, or from features, to one logit per class."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from bmix.errors import InputError, nearest
from bmix.models.heads import PooledHead, Standardise
from bmix.models.networks import FeatureNetwork, ImageNetwork
from bmix.models.weights import load_state, read_weights
from bmix.randomness import derive_seed

BACKBONES = ("small", "resnet18", "resnet50", "resnet101", "identity")
HEADS = ("linear", "mlp")

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
        # Convolutions on a CPU are a quarter faster with the channels last.
        return self.features(images_B.contiguous(memory_format=torch.channels_last))


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def normalisation(backbone: str) -> Normalisation:
    """The mean and standard deviation that a backbone's images are normalised with: ImageNet's for the ResNets."""
    if backbone == "identity":
        return ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)) if backbone == "small" else _IMAGENET


def build_classifier(
    backbone: str, head: str, class_count: int, weights: str, seed: int, feature_count: int | None = None
) -> ImageNetwork | FeatureNetwork:
    """A network from normalised images (B, 3, H, W) float to logits (B, class_count), in training mode on the CPU.

    The backbone `identity` takes features (B, feature_count) float instead; their scaling is the trainer's to set, by
    `network.standardise.fit(mean_D, deviation_D)`.
    `weights` is `none`, `imagenet` (torchvision's, downloaded at the first use) or the path of a safetensors or torch
    file, whose last layer may be absent or of another size: it is then drawn anew. What is drawn depends on `seed`
    alone, and torch's global generators stay as they were.
    InputError: an unknown backbone or head, fewer than one class, no feature_count for `identity`, weights that cannot
    be had or do not fit.
    """
    _check("model.backbone", backbone, BACKBONES)
    _check("model.head", head, HEADS)
    if class_count < 1:
        raise InputError("class_count", f"is {class_count}", "at least one class", "give the data's class names")
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # torch.manual_seed would reseed the accelerators' generators too.
        torch.default_generator.manual_seed(derive_seed(seed, "weights"))
        network = _network(backbone, head, class_count, feature_count)
    if weights == "imagenet":
        load_state(network, _download(backbone), "imagenet")
    elif weights != "none":
        path = Path(weights)
        load_state(network, read_weights(path), str(path))
    return network


def _check(where: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise InputError(where, f"is {name!r}", f"one of {', '.join(known)}", f"correct it.{nearest(name, known)}")


def _network(backbone: str, head: str, class_count: int, feature_count: int | None) -> ImageNetwork | FeatureNetwork:
    if backbone == "identity":
        if feature_count is None or feature_count < 1:
            raise InputError(
                "feature_count", f"is {feature_count}", "the number of features per row, at least 1", "give it"
            )
        return FeatureNetwork(Standardise(feature_count), PooledHead(feature_count, class_count, head == "mlp"))
    if backbone == "small":
        return ImageNetwork(
            SmallBackbone(), PooledHead(SmallBackbone.channels, class_count, head == "mlp", maximum=True)
        )
    return ImageNetwork(_resnet(backbone), PooledHead(_RESNET_CHANNELS[backbone], class_count, head == "mlp"))


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
            "none or a path for this backbone; imagenet for resnet18, resnet50, resnet101",
            remedy,
        )
    from bmix.torchvision_import import models

    published = models.get_model_weights(backbone).IMAGENET1K_V1
    try:
        return published.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            "model.weights",
            f"is imagenet, but {published.url} cannot be had ({' '.join(str(error).split())})",
            "a connection to torchvision's server, or the file in torch's cache",
            remedy,
        ) from error
