"""From checked params, a manifest and given labels to a run, and from a finished run to its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from bmix.data.augment import build_augment
from bmix.data.images import ImageStore
from bmix.data.manifest import Manifest
from bmix.errors import InputError
from bmix.files import replaced_folder, write_csv, write_json, write_parquet
from bmix.method.ledger import Ledger
from bmix.method.settings import MethodSettings
from bmix.models.backbones import build_classifier
from bmix.models.store import Classifier, ClassifierSpec, save_classifier
from bmix.recipes import RECIPES
from bmix.training.checkpoint import Checkpoints
from bmix.training.loop import Trainer
from bmix.training.plan import Plan
from bmix.training.progress import Progress
from bmix.training.records import mixture_schema

if TYPE_CHECKING:
    from bmix.params import Params


def set_up_torch(threads: int) -> None:
    """CPU threads for this process, and what makes a GPU repeat its results: no TF32, deterministic convolutions."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False


def build_trainer(params: Params, manifest: Manifest, given_NK: np.ndarray) -> Trainer:
    """A run before its first epoch, on the GPU where one is. given_NK: the given labels of the training split, 0/1."""
    set_up_torch(params.training.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    paths = {split: [params.image_root / path for path in manifest.paths(split)] for split in ("train", "val")}
    images = ImageStore(paths["train"], params.data.image_size)
    validation = None
    if paths["val"]:
        labels_VK = np.where(manifest.ignored("val"), -1, manifest.labels("val").astype(np.int8))
        validation = (ImageStore(paths["val"], params.data.image_size), torch.from_numpy(labels_VK))
    spec = ClassifierSpec.of(params.model.backbone, params.model.head, params.data.image_size, manifest.classes)
    network = build_classifier(
        spec.backbone, spec.head, len(spec.classes), params.model.weights, seed=params.training.seed
    )
    recipe = RECIPES[params.training.recipe](
        torch.from_numpy(given_NK.astype(bool)).to(device),
        MethodSettings(**params.method.model_dump()),
        manifest.ids("train"),
        list(manifest.classes),
    )
    settings = params.training.model_dump(exclude={"recipe", "threads"})
    augment = build_augment(params.data.augment)
    return Trainer(Classifier(network, spec).to(device), recipe, images, Plan(**settings), augment, validation)


def advance(
    trainer: Trainer,
    until: int,
    checkpoints: Checkpoints | None = None,
    on_epoch: Callable[[Trainer], None] | None = None,
) -> None:
    """Train until `until` epochs are done, telling progress and keeping a checkpoint of every epoch."""
    progress = Progress(trainer, until)
    while trainer.epoch < until:
        trainer.train_epoch(progress.on_step)
        progress.on_epoch()
        if checkpoints is not None:
            checkpoints.save(trainer)
        if on_epoch is not None:
            on_epoch(trainer)


def write_outputs(trainer: Trainer, ledger: Ledger, folder: Path) -> None:
    """Write the outputs of the stage train below `folder`, as docs/architecture.md lists them."""
    recipe = trainer.recipe
    image_ids, class_names = recipe.image_ids, recipe.class_names
    if image_ids is None or class_names is None:
        raise InputError("write_outputs", "the recipe has no ids or names", "both", "give them to the recipe")
    with replaced_folder(folder / "models" / "final") as temporary:
        save_classifier(trainer.classifier, temporary)
    write_parquet(folder / "verdicts.parquet", ledger.table(image_ids, class_names))
    write_json(
        folder / "verdicts.json",
        {
            "managed": ledger.managed,
            "epsilon": recipe.settings.epsilon,
            "trust_positives": recipe.settings.trust_positives,
            "classes": ledger.summary(class_names),
        },
    )
    history, mixtures, sampler = trainer.records.frames(class_names)
    write_csv(folder / "history.csv", history)
    write_parquet(folder / "mixtures.parquet", mixtures, mixture_schema())
    write_csv(folder / "sampler.csv", sampler)
