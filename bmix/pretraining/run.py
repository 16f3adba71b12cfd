"""From params and images to a pre-training run, and from a finished run to its files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save

from bmix.data.augment import build_augment
from bmix.data.images import ImageStore
from bmix.data.manifest import Manifest
from bmix.data.pretrained import HISTORY, PRETRAINED_COLUMNS, WEIGHTS, write_note
from bmix.models.backbones import build_classifier
from bmix.models.networks import ImageNetwork
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier
from bmix.pretraining.base import LabelFree
from bmix.pretraining.rotation import TURNS, Rotation
from bmix.pretraining.simsiam import SimSiam, SimSiamNetwork
from bmix.randomness import derive_seed
from bmix.support.files import replaced, write_csv
from bmix.training.loop import Trainer
from bmix.training.plan import Plan
from bmix.training.ranks import Ranks, own_device
from bmix.training.run import set_up_torch

if TYPE_CHECKING:
    from bmix.params import Params

TASKS: dict[str, type[LabelFree]] = {"rotation": Rotation, "simsiam": SimSiam}


def pretraining_splits(unlabelled: bool) -> list[str]:
    """The splits whose images are shown."""
    return ["train", "unlabelled"] if unlabelled else ["train"]


def build_pretraining(params: Params, manifest: Manifest, ranks: Ranks | None = None) -> Trainer:
    """A pre-training run before its first epoch, on the GPU where one is; no label of the manifest is looked at."""
    set_up_torch(params.training.threads)
    chosen, model, size = params.pretrain, params.model, params.data.image_size
    network = build_classifier(model.backbone, "linear", len(TURNS), model.weights, chosen.seed, image_size=size)
    if not isinstance(network, ImageNetwork):
        raise TypeError("features need no backbone")
    if chosen.method == "simsiam":
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(chosen.seed, "simsiam"))
            network = SimSiamNetwork(network)
    spec = ClassifierSpec.of(model.backbone, "linear", size, TURNS)
    splits = pretraining_splits(chosen.unlabelled)
    images = ImageStore([params.image_root / path for split in splits for path in manifest.paths(split)], size)
    ids = [name for split in splits for name in manifest.ids(split)]
    device = own_device()
    task = TASKS[chosen.method](torch.zeros(len(images), 1, dtype=torch.bool, device=device), image_ids=ids)
    task.sums_E2 = task.sums_E2.to(device)
    plan = Plan(
        epochs=chosen.epochs,
        warmup_epochs=0,
        batch_size=chosen.batch_size,
        optimizer=chosen.optimizer,
        learning_rate=chosen.learning_rate,
        weight_decay=chosen.weight_decay,
        seed=chosen.seed,
        precision=params.training.precision,
    )
    classifier = Classifier(network, spec).to(device)
    return Trainer(classifier, task, images, plan, build_augment(params.data.augment), ranks=ranks)


def pretraining_history(trainer: Trainer) -> pd.DataFrame:
    """A row per epoch: `epoch`, `learning_rate`, `loss`, and `accuracy` of rotation or `spread` of simsiam."""
    rows, task = trainer.tables.history, trainer.recipe
    assert isinstance(task, LabelFree)
    frame = pd.DataFrame({name: [row[name] for row in rows] for name in ("epoch", "learning_rate")})
    frame["loss"] = [row["train_loss"] for row in rows]
    for name in PRETRAINED_COLUMNS[3:]:
        frame[name] = task.measured() if name == task.measure else np.nan
    return frame[PRETRAINED_COLUMNS]


def write_pretrained(trainer: Trainer, method: str, folder: Path) -> None:
    """Write the backbone's weights, the history and the note; equal runs give equal bytes."""
    state = trainer.classifier.network.state_dict()
    backbone = {name: value.cpu().contiguous() for name, value in state.items() if name.startswith("backbone.")}
    with replaced(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(backbone))
    write_csv(folder / HISTORY, pretraining_history(trainer))
    write_note(folder, method, images=len(trainer.images))
