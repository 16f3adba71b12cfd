"""Networks from normalised images, or from features, to one logit per class."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from bmix.models.body import Body, Normalisation
from bmix.models.heads import AffinityHead, HeadSettings, PooledHead, Standardise
from bmix.models.networks import FeatureNetwork, ImageNetwork
from bmix.models.query_decoder import QueryDecoder
from bmix.models.registry import backbone_traits, check_fit, head_traits
from bmix.models.weights import load_weights, of_other_classes, read_weights
from bmix.randomness import derive_seed
from bmix.support.errors import InputError


def normalisation(backbone: str) -> Normalisation:
    """The mean and standard deviation that a backbone's images are normalised with; 0 and 1 for `identity`.

    Those of timm's models are timm's. InputError if timm is needed and absent, or does not know the model.
    """
    if backbone_traits(backbone).takes_features:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    values: Normalisation = _family(backbone).normalisation(backbone)
    return values


def build_classifier(
    backbone: str,
    head: str,
    class_count: int,
    weights: str,
    seed: int,
    feature_count: int | None = None,
    head_settings: HeadSettings | None = None,
    image_size: int | None = None,
    classes: Sequence[str] | None = None,
) -> ImageNetwork | FeatureNetwork:
    """A network from normalised images (B, 3, H, W) float to logits (B, class_count), in training mode on the CPU.

    The backbone `identity` takes features (B, feature_count) float instead; their scaling is the trainer's to set, by
    `network.standardise.fit(mean_D, deviation_D)`. `timm/NAME` is any model of timm, which must take images of
    `image_size` where that is given.
    The head `linear` is global pooling and one linear layer, `mlp` has a hidden layer between them, `affinity` class
    prototypes in place of the linear layer, and `decoder` has `head_settings.queries` queries (0: one per class), at
    most one per class.
    `weights` is `none`, `imagenet` (torchvision's or timm's, downloaded at the first use) or the path of a safetensors
    or torch file, whose last layer may be absent or of another size: it is then drawn again; or the folder of a model,
    whose last layer is drawn again too unless its classes are `classes`, where these are given. What is drawn depends
    on `seed` alone, and torch's global generators stay as they were.
    InputError: an unknown backbone or head, a head that the backbone cannot have, fewer than one class, more queries
    than classes, no feature_count for `identity`, timm absent, weights that cannot be had or do not fit.
    """
    features, settings = backbone_traits(backbone).takes_features, head_settings or HeadSettings()
    check_fit(backbone, head, weights, holds_features=features)
    if class_count < 1:
        raise InputError("class_count", f"is {class_count}", "at least one class", "give the data's class names")
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # torch.manual_seed would reseed the accelerators' generators too.
        torch.default_generator.manual_seed(derive_seed(seed, "weights"))
        if features:
            network: ImageNetwork | FeatureNetwork = _feature_network(head, class_count, feature_count, settings)
        else:
            network = _image_network(_family(backbone).body(backbone, image_size), head, class_count, settings)
        if weights == "imagenet":
            load_weights(network, _family(backbone).published_weights(backbone), "imagenet")
    if weights not in ("none", "imagenet"):
        path = Path(weights)
        state = read_weights(path)
        if classes is not None and of_other_classes(path, classes):
            by_class = {f"head.{name}" for name in network.head.class_tensors}
            state = {name: value for name, value in state.items() if name not in by_class}
        load_weights(network, state, str(path))
    return network


def _family(backbone: str) -> Any:
    """The file that builds a backbone; torchvision and timm take seconds to import, and most runs need neither."""
    return import_module(str(backbone_traits(backbone).module))


def _feature_network(head: str, class_count: int, feature_count: int | None, settings: HeadSettings) -> FeatureNetwork:
    if feature_count is None or feature_count < 1:
        raise InputError(
            "feature_count", f"is {feature_count}", "the number of features per row, at least 1", "give it"
        )
    return FeatureNetwork(Standardise(feature_count), _row_head(head, feature_count, class_count, settings))


def _image_network(body: Body, head: str, class_count: int, settings: HeadSettings) -> ImageNetwork:
    if not head_traits(head).uses_queries:
        pooled = _row_head(head, body.channels, class_count, settings, body.maximum)
        return ImageNetwork(body.network, pooled, body.classifiers, body.layout)
    queries = settings.queries
    if not 0 <= queries <= class_count:
        raise InputError(
            "model.queries",
            f"is {queries}",
            f"at most the number of classes, {class_count}, or 0 for one query per class",
            "set model.queries to 0",
        )
    decoder = QueryDecoder(body.channels, class_count, queries or class_count)
    return ImageNetwork(body.network, decoder, body.classifiers, body.layout)


def _row_head(
    head: str, channels: int, class_count: int, settings: HeadSettings, maximum: bool = False
) -> PooledHead | AffinityHead:
    if head == "affinity":
        return AffinityHead(channels, class_count, settings, maximum)
    return PooledHead(channels, class_count, hidden=head == "mlp", maximum=maximum, settings=settings)
