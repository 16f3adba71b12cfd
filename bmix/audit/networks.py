"""Features without any weights at hand: two networks, each trained on half of the images, for the other half."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from bmix.audit.folds import stratified_folds
from bmix.data.manifest import Manifest
from bmix.data.stores import FeatureStore, open_store
from bmix.models.frozen import features_of
from bmix.models.registry import MULTI_LABEL
from bmix.randomness import numpy_generator
from bmix.training.passes import VIEWS_AT_ONCE
from bmix.training.run import advance, build_trainer

if TYPE_CHECKING:
    from bmix.params import Params

SCHEDULE = {
    "recipe": "bce",
    "warmup_epochs": 1,
    "batch_size": 64,
    "optimizer": "adamw",
    "learning_rate": 0.003,
    "schedule": "cosine",
    "backbone_rate": 1.0,
    "weight_decay": 1e-4,
    "average": 0.0,
    "precision": "float32",
    "processes": 1,
}
"""How the two are trained, whatever `training` says of the model: another learning rate audits nothing anew."""


def halves(manifest: Manifest, given_NK: np.ndarray, seed: int) -> np.ndarray:
    """0 or 1 for each training row, each class spread over both; rows of one image's bytes lie in one half."""
    digest_N = manifest.frame["digest"][manifest.frame["split"] == "train"].to_numpy()
    unknown = digest_N == ""
    digest_N = np.where(unknown, np.arange(len(digest_N)).astype(str), digest_N)
    groups_N = np.unique(digest_N, return_inverse=True)[1]
    return stratified_folds(given_NK, 2, numpy_generator(seed, "audit halves"), groups_N)


def learnt_features(
    params: Params, manifest: Manifest, given_NK: np.ndarray, half_N: np.ndarray, own: int
) -> Callable[[str], np.ndarray]:
    """A network trained on the given labels, 0 and 1, of half `own` for `audit.epochs`: a split to its features (N, D).

    It is the network of `model`, trained by plain BCE; what it sees in the end is the pooled output of its backbone.
    """
    frame = manifest.frame
    train, val = (frame[frame["split"] == split] for split in ("train", "val"))
    part = Manifest(pd.concat([train[half_N == own], val], ignore_index=True), manifest.classes)
    update = SCHEDULE | {"epochs": params.audit.epochs, "seed": params.audit.seed}
    # Whatever the task, the audit judges label by label.
    model = params.model.model_copy(update={"task": MULTI_LABEL})
    settings = params.model_copy(update={"training": params.training.model_copy(update=update), "model": model})
    trainer = build_trainer(settings, part, given_NK[half_N == own])
    print(f"network {own + 1} of 2, on {int((half_N == own).sum())} images", flush=True)
    advance(trainer, params.audit.epochs)

    def features(split: str) -> np.ndarray:
        store = open_store(manifest, split, params.image_root, params.data.image_size)
        if isinstance(store, FeatureStore):
            raise TypeError("features need no network")
        rows = torch.arange(len(store)).split(VIEWS_AT_ONCE)
        return np.concatenate([features_of(trainer.classifier, store.read(row_B)) for row_B in rows])

    return features
