"""Tiny training runs for tests: noise images in which a class brightens one quarter of the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bmix.data.augment import Augment, gentle
from bmix.data.images import ImageStore
from bmix.method.settings import MethodSettings
from bmix.models.backbones import build_classifier
from bmix.models.ensemble import Network, build_members
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier
from bmix.recipes import RECIPES
from bmix.training.loop import Trainer
from bmix.training.plan import Plan
from bmix.training.ranks import Ranks

CLASSES = ["north", "east", "south"]
SIZE = 16


def write_images(folder: Path, count: int, seed: int = 0) -> tuple[list[Path], np.ndarray]:
    """`count` PNG files and their true labels (N, 3)."""
    rng = np.random.default_rng(seed)
    labels_NK = (rng.random((count, len(CLASSES))) < (0.6, 0.4, 0.3)).astype(np.uint8)
    paths = []
    for row, labels in enumerate(labels_NK):
        pixels = rng.integers(0, 90, (SIZE, SIZE), dtype=np.uint8)
        for k, present in enumerate(labels):
            across, down = 8 * (k % 2), 8 * (k // 2)
            pixels[down : down + 8, across : across + 8] += np.uint8(120 * present)
        path = folder / f"{row:03d}.png"
        Image.fromarray(pixels).save(path)
        paths.append(path)
    return paths, labels_NK


def build_run(
    paths: list[Path],
    given_NK: np.ndarray,
    recipe: str = "balancemix",
    settings: MethodSettings | None = None,
    augment: Augment = gentle,
    ranks: Ranks | None = None,
    own: object = None,
    true_NK: np.ndarray | None = None,
    scored_by: torch.Tensor | None = None,
    **plan: object,
) -> Trainer:
    """A run of 4 epochs, 2 of them warm-up, on the small network; `plan` overrides its settings.

    own: the recipe's own settings. true_NK: by default the given labels, for a recipe that needs true ones. scored_by:
    the true labels by which the history scores verdicts.
    """
    fields = {"epochs": 4, "warmup_epochs": 2, "batch_size": 16, "optimizer": "adamw", "learning_rate": 3e-3} | plan
    run_plan = Plan(**fields)  # type: ignore[arg-type]
    images = ImageStore(paths, SIZE)
    kind = RECIPES[recipe]
    classes = CLASSES[: given_NK.shape[1]]

    def build(seed: int, weights: str) -> Network:
        return build_classifier("small", "linear", len(classes), weights, seed)

    network = build_members(kind.members, run_plan.seed, build, "none")
    spec = ClassifierSpec.of("small", "linear", SIZE, classes, members=kind.members)
    given, true = (
        torch.from_numpy(values.astype(bool)) for values in (given_NK, given_NK if true_NK is None else true_NK)
    )
    ids = [path.stem for path in paths]
    made = kind(given, settings or MethodSettings(), ids, classes, own, true if kind.needs_truth else None)
    validation = (ImageStore(paths[:16], SIZE), torch.from_numpy(given_NK[:16].astype(np.int8)))
    return Trainer(Classifier(network, spec), made, images, run_plan, augment, validation, ranks, scored_by)


def train(trainer: Trainer, until: int | None = None) -> Trainer:
    """Train to `until`, by default to the end."""
    while trainer.epoch < (until or trainer.plan.epochs):
        trainer.train_epoch()
    return trainer


def same_weights(first: Trainer, second: Trainer) -> bool:
    """Whether every tensor of the two networks is equal bit for bit."""
    own, other = first.classifier.network.state_dict(), second.classifier.network.state_dict()
    return all(torch.equal(value, other[name]) for name, value in own.items())
