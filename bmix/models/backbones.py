"""Networks from normalised images to one logit per class."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bmix.errors import InputError, nearest
from bmix.randomness import derive_seed

BACKBONES = ("small", "resnet18", "resnet50")
HEADS = ("linear",)

Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Mean and standard deviation of red, green and blue, for pixel values in [0, 1]."""

_IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class SmallNetwork(nn.Module):
    """Five 3×3 convolutions with batch norm and ReLU, global max pooling, one linear layer.

    Made for scenes of about 40 pixels with several small objects; (B, 3, H, W) float to logits (B, K), H and W at
    least 8. The maximum over all places fits labels that say that something is present, not how often or where.
    """

    def __init__(self, class_count: int) -> None:
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
            *_convolution(128, 128),
        )
        self.fc = nn.Linear(128, class_count)

    def forward(self, images_B: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to logits (B, K)."""
        # Convolutions on a CPU are a quarter faster with the channels last.
        features_BCHW = self.features(images_B.contiguous(memory_format=torch.channels_last))
        return self.fc(features_BCHW.amax(dim=(2, 3)))


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def normalisation(backbone: str) -> Normalisation:
    """The mean and standard deviation that a backbone's images are normalised with: ImageNet's for the ResNets."""
    return ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)) if backbone == "small" else _IMAGENET


def build_classifier(backbone: str, head: str, class_count: int, weights: str, seed: int) -> nn.Module:
    """A network from normalised images (B, 3, H, W) float to logits (B, class_count), in training mode on the CPU.

    `weights` is `none`, `imagenet` (torchvision's, downloaded at the first use) or the path of a safetensors or torch
    file, whose last layer `fc` may be absent or of another size: it is then drawn anew. What is drawn depends on
    `seed` alone, and torch's global generators stay as they were.
    InputError: an unknown backbone or head, fewer than one class, weights that cannot be had or do not fit.
    """
    _check("model.backbone", backbone, BACKBONES)
    _check("model.head", head, HEADS)
    if class_count < 1:
        raise InputError("class_count", f"is {class_count}", "at least one class", "give the data's class names")
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # torch.manual_seed would reseed the accelerators' generators too.
        torch.default_generator.manual_seed(derive_seed(seed, "weights"))
        network = _architecture(backbone)(class_count)
    if weights == "imagenet":
        state = _download(backbone)
        load_state(network, {name: value for name, value in state.items() if not name.startswith("fc.")}, "imagenet")
    elif weights != "none":
        path = Path(weights)
        load_state(network, read_weights(path), str(path))
    return network


def _check(where: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise InputError(where, f"is {name!r}", f"one of {', '.join(known)}", f"correct it.{nearest(name, known)}")


def _architecture(backbone: str) -> Callable[[int], nn.Module]:
    if backbone == "small":
        return SmallNetwork
    # Imported here: the small network needs no torchvision, which takes a second or two.
    from bmix.torchvision_import import models

    return lambda class_count: models.get_model(backbone, weights=None, num_classes=class_count)


def _download(backbone: str) -> Mapping[str, Tensor]:
    remedy = "set model.weights to none, or to the path of a weights file fetched elsewhere"
    if backbone == "small":
        raise InputError(
            "model.weights",
            "is imagenet, but the backbone small was never trained on ImageNet",
            "none or a path for this backbone; imagenet for resnet18, resnet50",
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


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """The tensors by name in a safetensors or torch file (there also under "state_dict"), on the CPU.

    Nothing but tensors is unpickled. InputError where the file is missing, is neither, or holds something else.
    """
    if not path.is_file():
        raise InputError(
            str(path), "no such file", "a file of weights, safetensors or torch", "correct model.weights, or use none"
        )
    content: object
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            str(path),
            f"not readable as weights ({reason})",
            "a safetensors file, or tensors by torch.save",
            "replace it",
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(str(path), "holds no state dict", "tensors by name", "save the network's state_dict()")
    return content


def load_state(network: nn.Module, state: Mapping[str, Tensor], where: str, whole: bool = False) -> None:
    """Copy `state` into `network`; the last layer `fc` may differ or be absent, and stays as it is, unless `whole`.

    InputError names `where` the state came from and the tensors that are missing, unknown or of another shape.
    """
    own = network.state_dict()
    head = {name for name in own if name.startswith("fc.")}
    if not whole and not all(name in state and state[name].shape == own[name].shape for name in head):
        own = {name: value for name, value in own.items() if name not in head}
        state = {name: value for name, value in state.items() if name not in head}
    # Files of old torch versions lack batch norm's counters.
    missing = sorted(name for name in own.keys() - state.keys() if not name.endswith("num_batches_tracked"))
    unknown = sorted(state.keys() - own.keys())
    unfit = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    faults = {"lacks": missing, "holds the unknown": unknown, "holds": unfit}
    if any(faults.values()):
        raise InputError(
            where,
            "; ".join(f"{fault} {_some(names)}" for fault, names in faults.items() if names),
            f"the {len(own)} tensors of this {type(network).__name__}",
            "choose the backbone and the classes that the weights belong to",
        )
    network.load_state_dict(state, strict=False)


def _some(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
