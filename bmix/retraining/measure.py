"""Champion and candidate on the same test images, none of which either of them was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from bmix.data.groups import group_cuts
from bmix.data.manifest import Manifest, holds_features
from bmix.data.stores import open_store
from bmix.evaluation.metrics import GROUPS, class_groups
from bmix.evaluation.predict import predict
from bmix.models.store import Classifier, load_classifier
from bmix.params import EvaluateParams
from bmix.randomness import numpy_generator
from bmix.retraining.bootstrap import Difference, compare_models
from bmix.support.errors import InputError

TODAY, OWN = "today's test split", "the champion's test split"


@dataclass(frozen=True)
class TestData:
    """A prepared data set with the folder that its paths start from."""

    manifest: Manifest
    image_root: Path


def compare_on(
    data: TestData,
    other: Manifest,
    models: tuple[Classifier, Classifier],
    evaluate: EvaluateParams,
    seed: int,
    purpose: str,
) -> dict[str, Difference]:
    """The differences of two models, champion and candidate, on the test split of one's data, by group of classes.

    other: the data of the model that was not made with `data`; images that it was trained on are left out, as are
    images whose files are gone. Classes that only one of the models knows are left out. The groups are those of the
    training positives in `data`. purpose: names the random numbers of the resamples. InputError if nothing is left.
    """
    manifest = data.manifest
    split = evaluate.split
    seen = set(other.rows("train")["digest"])
    features = holds_features(manifest)
    rows = manifest.rows(split)
    kept_N = ~rows["digest"].isin(seen).to_numpy(bool)
    if not features:
        kept_N &= np.array([(data.image_root / path).is_file() for path in rows["path"]], bool)
    common = [name for name in manifest.classes if all(name in model.classes for model in models)]
    if not kept_N.any() or not common:
        found = "no class is known to both models" if kept_N.any() else "no image is left that neither was trained on"
        raise InputError(purpose, found, "images and classes to compare on", "compare the models by other data")
    if not features:
        # Images that are left out are not read.
        manifest = replace(manifest, frame=manifest.frame.loc[rows.index[kept_N]])
    taken = kept_N if features else np.ones(int(kept_N.sum()), bool)
    labels_NK = _labels(manifest, split, common)[taken]
    scores = [_scores(model, manifest, data.image_root, split, common)[taken] for model in models]
    groups = _groups(data.manifest, common, evaluate)
    return compare_models(scores[0], scores[1], labels_NK, groups, numpy_generator(seed, "compare", purpose))


def load_both(champion: Path, candidate: Path, threads: int) -> tuple[Classifier, Classifier]:
    """The models in two folders, on the GPU if there is one; InputError if one cannot be loaded."""
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_classifier(champion).to(device), load_classifier(candidate).to(device)


def _scores(model: Classifier, manifest: Manifest, image_root: Path, split: str, names: list[str]) -> np.ndarray:
    images = open_store(manifest, split, image_root, model.spec.image_size)
    confidence_NK, _ = predict(model, images)
    return confidence_NK.cpu().numpy()[:, [model.classes.index(name) for name in names]]


def _labels(manifest: Manifest, split: str, names: list[str]) -> np.ndarray:
    """int8 (N, K) with -1 for ignored cells; the true labels where the source knows them."""
    true_NK = manifest.true_labels(split)
    given_NK = manifest.labels(split) if true_NK is None else true_NK
    labels_NK = np.where(manifest.ignored(split), -1, given_NK.astype(np.int8))
    return labels_NK[:, [manifest.classes.index(name) for name in names]]


def _groups(manifest: Manifest, names: list[str], evaluate: EvaluateParams) -> Mapping[str, np.ndarray]:
    positives_K = manifest.labels("train").sum(axis=0, dtype=int)
    group_K = class_groups(positives_K, group_cuts(positives_K, evaluate.many, evaluate.medium))
    group_C = group_K[[manifest.classes.index(name) for name in names]]
    return {"all": np.ones(len(names), bool), **{group: group_C == group for group in GROUPS}}
