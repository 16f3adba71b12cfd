"""A frozen backbone as a maker of features: images in, pooled activations out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bmix.data.images import load_image
from bmix.models.backbones import build_classifier
from bmix.models.device import available_device
from bmix.models.networks import ImageNetwork
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier
from bmix.support.errors import InputError

BATCH = 32


def frozen_backbone(backbone: str, weights: str, image_size: int, named: dict[str, str] | None = None) -> Classifier:
    """A backbone under a head that is not used, in evaluation mode, on the GPU where one is.

    named: what a message calls `model.backbone`, `model.weights` and `data.image_size`. InputError for the backbone
    identity, which takes no images, and for weights that do not fit.
    """
    named = named or {}
    if backbone == "identity":
        where = named.get("model.backbone", "model.backbone")
        raise InputError(where, "is identity, which takes no images", "a backbone for images", "name another")
    try:
        network = build_classifier(backbone, "linear", 1, weights, seed=0, image_size=image_size)
    except InputError as error:
        told = [error.where, error.found, error.expected, error.remedy]
        for key, name in named.items():
            told = [part.replace(key, name) for part in told]
        raise InputError(*told) from error
    spec = ClassifierSpec.of(backbone, "linear", image_size, ["unused"])
    return Classifier(network, spec).to(available_device()).eval()


@torch.inference_mode()
def backbone_features(network: ImageNetwork, images_B: Tensor) -> Tensor:
    """Normalised images (B, 3, S, S) to the backbone's features under global average pooling, float32 (B, D)."""
    return network.feature_map(images_B).float().mean(dim=(2, 3))


def load_images(paths: Sequence[Path], image_size: int) -> Tensor:
    """Image files, decoded side by side: uint8 (B, 3, S, S)."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return torch.stack(list(pool.map(lambda path: load_image(path, image_size), paths)))


def features_of(classifier: Classifier, images_B: Tensor, batch: int = BATCH) -> np.ndarray:
    """The features of images, uint8 (B, 3, S, S), as float16 (B, D); inf where they are beyond it."""
    network = classifier.network
    if not isinstance(network, ImageNetwork):
        raise TypeError(f"{type(network).__name__} has no feature map")
    classifier.eval()
    parts = [
        backbone_features(network, classifier.normalise(part.to(classifier.device))).half().cpu()
        for part in images_B.split(batch)
    ]
    return torch.cat(parts).numpy()
