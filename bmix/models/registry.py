"""The backbones and heads and their traits, apart from the code that builds them, which imports torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bmix.support.errors import InputError, nearest

PREFIX = "timm/"
WEIGHTS, SPEC = "model.safetensors", "model.json"
"""The two files of a model's folder that rebuild its network."""
TASKS = MULTI_LABEL, SINGLE_LABEL = ("multi-label", "single-label")
"""What a network is asked: any number of classes an image, each by itself; or exactly one."""
_TIMM_NAME = re.compile(r"timm/[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class BackboneTraits:
    """What is known of a backbone by its name.

    module: the file that builds it, with the functions `body`, `normalisation` and `published_weights`; None for one
    that takes features as they are. published: weights trained on ImageNet can be downloaded. timm: timm's name of it.
    """

    module: str | None
    published: bool = True
    timm: str | None = None

    @property
    def takes_features(self) -> bool:
        """Whether it takes features, not images."""
        return self.module is None


@dataclass(frozen=True)
class HeadTraits:
    """What is known of a head by its name. needs_places: it looks at places in an image, which features have none of.

    uses_queries: it reads `model.queries`.
    """

    needs_places: bool = False
    uses_queries: bool = False


_TIMM = "bmix.models.timm_models"
BACKBONES: dict[str, BackboneTraits] = {
    "small": BackboneTraits("bmix.models.small", published=False),
    "cnn5x5": BackboneTraits("bmix.models.cnn5x5", published=False),
    "resnet18": BackboneTraits("bmix.models.resnet"),
    "resnet50": BackboneTraits("bmix.models.resnet"),
    "resnet101": BackboneTraits("bmix.models.resnet"),
    "tresnet_l": BackboneTraits(_TIMM, timm="tresnet_l"),
    "efficientnet_lite0": BackboneTraits(_TIMM, timm="tf_efficientnet_lite0"),
    "identity": BackboneTraits(None, published=False),
}
"""Every backbone with a name of its own; any other model of timm is `timm/NAME`."""

HEADS: dict[str, HeadTraits] = {
    "linear": HeadTraits(),
    "mlp": HeadTraits(),
    "decoder": HeadTraits(needs_places=True, uses_queries=True),
    "affinity": HeadTraits(),
}
"""Every head under the name that `model.head` gives it."""


def is_backbone(name: object) -> bool:
    """Whether a name is one of BACKBONES or has the form `timm/NAME`; timm alone knows which models it has."""
    return isinstance(name, str) and (name in BACKBONES or _TIMM_NAME.fullmatch(name) is not None)


def backbone_traits(name: str) -> BackboneTraits:
    """The traits of a backbone; InputError for a name that is not one, with the nearest that is."""
    if not is_backbone(name):
        known = [*BACKBONES, f"{PREFIX}NAME"]
        remedy = f"correct it.{nearest(name, known)}"
        raise InputError("model.backbone", f"is {name!r}", f"one of {', '.join(known)}", remedy)
    return BACKBONES.get(name) or BackboneTraits(_TIMM, timm=name.removeprefix(PREFIX))


def head_traits(name: str) -> HeadTraits:
    """The traits of a head; InputError for a name that is not one, with the nearest that is."""
    if name not in HEADS:
        remedy = f"correct it.{nearest(name, HEADS)}"
        raise InputError("model.head", f"is {name!r}", f"one of {', '.join(HEADS)}", remedy)
    return HEADS[name]


def backbones_with(**traits: bool) -> list[str]:
    """The names of the backbones that have these traits, e.g. published=True."""
    return [name for name, own in BACKBONES.items() if all(getattr(own, key) == value for key, value in traits.items())]


def check_fit(backbone: str, head: str, weights: str, holds_features: bool) -> None:
    """InputError if backbone, head, weights and the form of the data do not go together.

    weights: `none`, `imagenet`, or a path, which is not looked at.
    """
    body = backbone_traits(backbone)
    if body.takes_features != holds_features:
        held, other = ("features", "images") if holds_features else ("images", "features")
        fitting = [name for name, traits in BACKBONES.items() if traits.takes_features == holds_features]
        raise InputError(
            "model.backbone",
            f"is {backbone}, which takes {other}, and the data holds {held}",
            f"a backbone for {held}, e.g. {fitting[0]}",
            f"set model.backbone to one of {', '.join(fitting)}, or use other data",
        )
    if head_traits(head).needs_places and body.takes_features:
        fitting = [name for name, traits in HEADS.items() if not traits.needs_places]
        raise InputError(
            "model.head",
            f"is {head}, which looks at places in an image, and features have none",
            f"one of {', '.join(fitting)}",
            f"set model.head to {fitting[-1]}",
        )
    if weights == "imagenet" and not body.published:
        raise InputError(
            "model.weights",
            f"is imagenet, but the backbone {backbone} was never trained on ImageNet",
            "none or a weights file for this backbone",
            f"set model.weights to none, or model.backbone to one of {', '.join(backbones_with(published=True))}",
        )


def weights_file(path: Path) -> Path:
    """The file of weights that a path names: itself, or that in the folder of a model."""
    return path / WEIGHTS if path.is_dir() else path


def check_weights(key: str, weights: str) -> None:
    """InputError under `key` of params.yaml if the weights are neither none, imagenet nor a file."""
    if weights not in ("none", "imagenet") and not weights_file(Path(weights)).is_file():
        raise InputError(
            f"params.yaml, {key}",
            f"{weights} is not a file, nor a folder that holds {WEIGHTS}",
            "none, imagenet, the path of a weights file, or the folder of a model",
            f"correct it.{nearest(weights, ('none', 'imagenet'))}",
        )
