"""Training runs on photographs made by code, whose files are decoded again in every epoch."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from benchmarks.gpu_parts.setting import Scale
from benchmarks.views import write_photograph
from bmix.data import images as images_module
from bmix.data.augment import build_augment
from bmix.data.images import ImageStore
from bmix.method.settings import MethodSettings
from bmix.models.backbones import build_classifier
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier
from bmix.recipes import RECIPES
from bmix.training.loop import Trainer
from bmix.training.plan import Plan

LEARNING_RATE = 1e-3
"""Low, so that an untrained network of any precision survives it."""


def write_photographs(folder: Path, count: int) -> list[Path]:
    """JPEG files of 500 x 375 pixels, each drawn from its own seed; those that are there already are left."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}.jpg" for number in range(count)]
    return [path if path.exists() else write_photograph(path, number) for number, path in enumerate(paths)]


def build_run(
    photographs: list[Path],
    scale: Scale,
    image_size: int,
    device: torch.device,
    precision: str = "float32",
    audit: str = "step",
    epochs: int = 3,
    warmup_epochs: int = 1,
    images: int | None = None,
) -> Trainer:
    """A BalanceMix run before its first epoch; every photograph stands for several images, each with labels of its own.

    As for a data set that does not fit into memory, every read decodes its files.
    """
    count, batch_size = scale.image_sizes[image_size]
    count = images or count
    paths = [photographs[row % len(photographs)] for row in range(count)]
    names = [f"class {k}" for k in range(scale.classes)]
    network = build_classifier(scale.backbone, "linear", scale.classes, "none", seed=0)
    classifier = Classifier(network, ClassifierSpec.of(scale.backbone, "linear", image_size, names)).to(device)
    given_NK = given_labels(count, scale.classes).to(device)
    recipe = RECIPES["balancemix"](given_NK, MethodSettings(audit=audit), [str(row) for row in range(count)], names)
    plan = Plan(epochs, warmup_epochs, batch_size, learning_rate=LEARNING_RATE, precision=precision)
    augment = build_augment("randaugment-flip")
    with mock.patch.object(images_module, "MEMORY_LIMIT", 0):
        store = ImageStore(paths, image_size)
    return Trainer(classifier, recipe, store, plan, augment)


def given_labels(images: int, classes: int) -> Tensor:
    """Three labels per image on average, bool (N, K); every class has one at least."""
    generator = torch.Generator().manual_seed(1)
    given_NK = torch.rand(images, classes, generator=generator) < 3 / max(classes, 4)
    given_NK[torch.arange(images), torch.arange(images) % classes] = True
    return given_NK
