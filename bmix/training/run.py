"""From checked params, a manifest and given labels to a run, and from a finished run to its files."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from bmix.data.augment import Augment, build_augment
from bmix.data.images import ImageStore
from bmix.data.manifest import Manifest
from bmix.data.single_label import check_one_class, check_one_given
from bmix.data.stores import FeatureStore, FeatureViews, open_store
from bmix.method.ledger import Ledger
from bmix.method.settings import MethodSettings
from bmix.models.backbones import build_classifier
from bmix.models.ensemble import Ensemble, Network, build_members
from bmix.models.heads import HeadSettings, Standardise
from bmix.models.pretrained import load_backbone
from bmix.models.registry import check_fit
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier, save_classifier
from bmix.recipes import RECIPES, check_task, own_settings, unknown_truth
from bmix.recipes.shared.base import Recipe
from bmix.support.errors import InputError
from bmix.support.files import replaced_folder, write_csv, write_json, write_parquet
from bmix.training.epoch_tables import mixture_schema
from bmix.training.loop import Trainer
from bmix.training.plan import Plan
from bmix.training.pool import Pool
from bmix.training.progress import Progress
from bmix.training.ranks import Ranks, own_device
from bmix.training.truth import UNKNOWN
from bmix.training.verdict_history import VERDICT_HISTORY

if TYPE_CHECKING:
    from bmix.params import Params


def set_up_torch(threads: int) -> None:
    """CPU threads for this process, and what makes a GPU repeat its results: no TF32, deterministic convolutions."""
    torch.set_num_threads(threads)
    _keep_freed_memory()
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False


def _keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next layer, instead of asking the system for it every time.

    On a CPU that took two fifths of a pass in evaluation mode. Does nothing where the library is not glibc.
    """
    library = ctypes.CDLL(None)
    if sys.platform != "linux" or not hasattr(library, "mallopt"):
        return
    trim_threshold, map_threshold = -1, -3
    library.mallopt(map_threshold, 2**30)
    library.mallopt(trim_threshold, 2**31 - 1)


def build_trainer(
    params: Params,
    manifest: Manifest,
    given_NK: np.ndarray,
    ranks: Ranks | None = None,
    true_NK: np.ndarray | None = None,
    present_NK: np.ndarray | None = None,
    pretrained: Path | None = None,
    pseudo_UK: np.ndarray | None = None,
) -> Trainer:
    """A run before its first epoch, on the GPU where one is. given_NK: the given labels of the training split, 0/1.

    true_NK: the true ones, None where they are unknown: the history scores the verdicts by them, and no recipe is shown
    them but one that needs them. present_NK: what the audit says of every label, for a recipe that uses it; None if
    nothing was audited. pretrained: a file of weights of the backbone, which take the place of those that params name.
    pseudo_UK: the pseudo-labels of the split unlabelled, int8 of 0, 1 and -1, None for none. InputError if the truth is
    needed and unknown, for the recipe's own settings, and for labels or a recipe that do not fit the task.
    """
    set_up_torch(params.training.threads)
    device = own_device()
    images, held_out = (
        open_store(manifest, split, params.image_root, params.data.image_size) for split in ("train", "val")
    )
    if params.single_label:
        check_one_class(manifest, "data/prepared/manifest.parquet")
        check_one_given(given_NK, manifest.ids("train"), manifest.classes)
    validation = None
    if len(held_out):
        labels_VK = np.where(manifest.ignored("val"), -1, manifest.labels("val").astype(np.int8))
        validation = (held_out, torch.from_numpy(labels_VK))
    recipe = build_recipe(params, manifest, given_NK, true_NK, device, present_NK)
    network, spec = _build_network(params, manifest.classes, images, recipe.members)
    if pretrained is not None:
        load_backbone(network, pretrained)
    settings = params.training.model_dump(exclude={"recipe", "threads", "processes"})
    augment: Augment | FeatureViews = build_augment(params.data.augment)
    if isinstance(images, FeatureStore):
        mean_D, deviation_D = images.statistics()
        for part in network.modules():
            if isinstance(part, Standardise):
                part.fit(mean_D, deviation_D)
        augment = FeatureViews(params.data.jitter, deviation_D)
    classifier = Classifier(network, spec).to(device)
    scored_by = None if true_NK is None else _truth(true_NK, manifest.ignored_if_any("train")).to(device)
    pool = None
    if pseudo_UK is not None:
        others = open_store(manifest, "unlabelled", params.image_root, params.data.image_size)
        pool = Pool(others, torch.from_numpy(pseudo_UK).to(device), params.pseudo.weight, manifest.ids("unlabelled"))
    return Trainer(classifier, recipe, images, Plan(**settings), augment, validation, ranks, scored_by, pool)


def _truth(true_NK: np.ndarray, ignored_NK: np.ndarray | None) -> torch.Tensor:
    known_NK = true_NK.astype(np.int8)
    return torch.from_numpy(known_NK if ignored_NK is None else np.where(ignored_NK, np.int8(UNKNOWN), known_NK))


def build_recipe(
    params: Params,
    manifest: Manifest,
    given_NK: np.ndarray,
    true_NK: np.ndarray | None,
    device: torch.device,
    present_NK: np.ndarray | None = None,
) -> Recipe:
    """The recipe that params name, before the first epoch; the arrays and errors as of `build_trainer`."""
    name = params.training.recipe
    kind = RECIPES[name]
    if kind.needs_truth and true_NK is None:
        raise unknown_truth(name)
    check_task(name, params.single_label)
    reviewed_NK = manifest.reviewed_if_any("train")
    return kind(
        torch.from_numpy(given_NK.astype(bool)).to(device),
        MethodSettings(**params.method.model_dump()),
        manifest.ids("train"),
        list(manifest.classes),
        own_settings(name, params.recipes.get(name, {})),
        torch.from_numpy(true_NK.astype(bool)).to(device) if kind.needs_truth and true_NK is not None else None,
        torch.from_numpy(present_NK).to(device) if kind.uses_audit and present_NK is not None else None,
        None if reviewed_NK is None else torch.from_numpy(reviewed_NK).to(device),
        params.single_label,
    )


def _build_network(
    params: Params, classes: list[str], images: ImageStore | FeatureStore, members: int
) -> tuple[Network | Ensemble, ClassifierSpec]:
    """The untrained network; InputError if it does not fit the data."""
    model = params.model
    feature_count = images.features if isinstance(images, FeatureStore) else None
    check_fit(model.backbone, model.head, model.weights, holds_features=feature_count is not None)
    size = params.data.image_size
    settings = HeadSettings.of(model)
    spec = ClassifierSpec.of(model.backbone, model.head, size, classes, settings, feature_count, members, model.task)

    def build(seed: int, weights: str) -> Network:
        return build_classifier(
            model.backbone, model.head, len(classes), weights, seed, feature_count, settings, size, classes
        )

    return build_members(members, params.training.seed, build, model.weights), spec


def advance(trainer: Trainer, until: int, on_epoch: Callable[[Trainer], None] | None = None) -> None:
    """Train until `until` epochs are done; the first process tells progress. `on_epoch`: after every epoch."""
    with Progress(trainer, until) as progress:
        while trainer.epoch < until:
            trainer.train_epoch(progress.on_step)
            progress.on_epoch()
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
    history, mixtures, sampler = trainer.tables.frames(class_names)
    write_csv(folder / "history.csv", history)
    write_parquet(folder / "mixtures.parquet", mixtures, mixture_schema())
    write_csv(folder / "sampler.csv", sampler)
    given_NK = recipe.given_NK.cpu().numpy()
    trainer.tables.verdicts.write(folder / VERDICT_HISTORY, image_ids, class_names, given_NK)
