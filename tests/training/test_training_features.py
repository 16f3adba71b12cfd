from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from bmix import load_model
from bmix.data.manifest import FEATURES_FILE, Manifest
from bmix.data.stores import FeatureStore, FeatureViews, open_store
from bmix.evaluation.inputs import predict_splits
from bmix.params import Params, load_params
from bmix.randomness import keys, normals, uniforms
from bmix.recipes.mixup import Mixup
from bmix.sources.features.read import read_features
from bmix.support.errors import InputError
from bmix.training.checkpoint import Checkpoints
from bmix.training.identity import RunIdentity
from bmix.training.loading import load
from bmix.training.loop import Trainer
from bmix.training.passes import DrawnViews, PlainViews, epoch_pass
from bmix.training.run import advance, build_trainer, write_outputs
from bmix.training.state import load_run, save_run
from bmix.training.steps import EpochSteps, draw_pairs
from tests.helpers.features import CLASSES, arrays, write_npz
from tests.helpers.tiny import write_params

ROWS = 400
EDITS = [
    "data.source=features",
    "data.jitter=0.5",
    "model.backbone=identity",
    "model.head=linear",
    "training.epochs=4",
    "training.warmup_epochs=2",
    "training.batch_size=32",
    "training.optimizer=adamw",
    "training.learning_rate=0.01",
]


class Project:
    """A prepared data set of features in the current folder."""

    def __init__(self, folder: Path, views: int, dtype: type = np.float16) -> None:
        content = arrays(rows=ROWS, views=views)
        content["X"] = content["X"].astype(dtype)
        path = write_npz(folder / f"set-{views}.npz", content)
        self.folder = folder
        self.stored_NVD = content["X"]
        self.manifest: Manifest = read_features(path, {}, 0, folder / "data/prepared/images")
        true_NK = self.manifest.labels("train").astype(bool)
        self.given_NK = true_NK ^ (np.random.default_rng(1).random(true_NK.shape) < 0.1)

    def params(self, *edits: str) -> Params:
        return load_params(write_params(self.folder, *EDITS, *edits))

    def build(self, *edits: str) -> Trainer:
        return build_trainer(self.params(*edits), self.manifest, self.given_NK)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, getattr(request, "param", 3))


def outputs(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    ("project", "recipe", "head"),
    [(1, "bce", "linear"), (3, "mixup", "linear"), (1, "balancemix", "mlp"), (3, "balancemix", "linear")],
    indirect=["project"],
)
def test_every_recipe_learns_and_its_model_is_measured(project: Project, recipe: str, head: str) -> None:
    trainer = project.build(f"training.recipe={recipe}", f"model.head={head}", "training.learning_rate=0.05")
    advance(trainer, 4)
    write_outputs(trainer, trainer.close(), project.folder)
    model = load_model(project.folder / "models" / "final")
    assert model.spec.features == 12
    root = Path("data/prepared/images")
    scores_NK, labels_NK, _ = predict_splits(model, project.manifest, root, ["test"])["test"]
    precision_K = [average_precision_score(labels_NK[:, k], scores_NK[:, k]) for k in range(len(CLASSES))]
    # Chance is the share of positives.
    assert labels_NK.mean() < 0.5
    assert np.mean(precision_K) > 0.95
    assert trainer.tables.history[-1]["val_map"] > 0.9


@pytest.mark.parametrize(
    ("project", "recipe"), [(3, "bce"), (1, "mixup"), (1, "balancemix"), (3, "balancemix")], indirect=["project"]
)
def test_cut_and_killed_runs_equal_the_uncut_one_byte_for_byte(project: Project, recipe: str) -> None:
    edit = f"training.recipe={recipe}"
    uncut = project.build(edit)
    advance(uncut, 4)
    write_outputs(uncut, uncut.close(), project.folder / "uncut")

    warmup = project.build(edit)
    advance(warmup, 2)
    save_run(warmup, project.folder / "warmup")
    begun = project.build(edit)
    load_run(begun, project.folder / "warmup")
    checkpoints = Checkpoints(project.folder, "train", RunIdentity({"seed": 0}))
    advance(begun, 3, checkpoints.save)
    resumed = project.build(edit)
    assert checkpoints.resume(resumed)
    advance(resumed, 4)
    write_outputs(resumed, resumed.close(), project.folder / "cut")
    assert outputs(project.folder / "cut") == outputs(project.folder / "uncut")


def _jittered(plain_D: np.ndarray, key: np.ndarray, jitter: float, deviation_D: Tensor) -> np.ndarray:
    noise = normals(key[None], len(plain_D))[0]
    return plain_D.astype(np.float32) + (jitter * deviation_D.numpy()).astype(np.float32) * noise.astype(np.float32)


@pytest.mark.parametrize("project", [1, 2, 5], indirect=True)
def test_the_views_of_a_step_are_those_documented(project: Project) -> None:
    trainer = project.build()
    store = trainer.images
    assert isinstance(store, FeatureStore)
    train_N = np.flatnonzero(project.manifest.frame["split"] == "train")
    _, deviation_D = store.statistics()
    doubtful_N = torch.arange(len(store)) % 3 == 0
    pairs = draw_pairs(len(store), Mixup(torch.zeros(len(store), 3)), seed=7, epoch=5)
    steps = EpochSteps(store, trainer.augment, pairs, doubtful_N, 32, seed=7, epoch=5)
    seen = []
    start = 0
    for step in load(steps, 0):
        assert step.partner is not None
        for side, name in ((step.random, "random"), (step.partner, "minority")):
            doubtful = side.doubtful.tolist()
            assert doubtful == [b for b, row in enumerate(side.rows.tolist()) if row % 3 == 0]
            for b, row in enumerate(side.rows.tolist()):

                def key(purpose: str, position: int = start + b, name: str = name) -> np.ndarray:
                    return keys(np.array([position]), 7, "view", name, purpose, 5)[0]

                stored_VD = project.stored_NVD[train_N[row]]
                views = len(stored_VD)
                if views == 1:
                    expected = _jittered(stored_VD[0], key("train"), 0.5, deviation_D)
                else:
                    chosen = int(uniforms(np.array([key("train")]), 1)[0, 0] * views)
                    expected = stored_VD[chosen]
                    seen.append(chosen)
                assert np.allclose(side.train[b].numpy(), expected, atol=1e-6)
                if b in doubtful:
                    assert side.relabel is not None
                    pair = [side.relabel[view, doubtful.index(b)].numpy() for view in range(2)]
                    if views == 1:
                        for view in range(2):
                            noisy = _jittered(stored_VD[0], key(f"relabel {view}"), 0.5, deviation_D)
                            assert np.allclose(pair[view], noisy, atol=1e-6)
                    else:
                        found = [[v for v in range(views) if np.array_equal(stored_VD[v], view)] for view in pair]
                        assert found[0] != found[1]
                        assert len(found[0]) == len(found[1]) == 1
        start += len(step.random.rows)
    if project.stored_NVD.shape[1] > 1:
        shares = np.bincount(seen) / len(seen)
        assert np.allclose(shares, 1 / len(shares), atol=0.08)
    again = next(load(steps, 2))
    assert torch.equal(again.random.train, steps[0].random.train)


def test_two_views_are_drawn_without_replacement_and_uniformly() -> None:
    count, views = 6000, 4
    stored_BVD = torch.arange(views).float()[None, :, None].expand(count, views, 1)
    made = FeatureViews(0.0, torch.ones(1)).distinct(stored_BVD, [keys(np.arange(count), 0, view) for view in range(2)])
    pairs = np.zeros((views, views))
    np.add.at(pairs, tuple(made[..., 0].long().numpy()), 1)
    assert np.all(np.diag(pairs) == 0)
    off_diagonal = pairs[~np.eye(views, dtype=bool)] / count
    assert np.allclose(off_diagonal, 1 / 12, atol=0.02)


def test_jitter_follows_each_feature_and_0_changes_nothing() -> None:
    deviation_D = torch.tensor([0.0, 1.0, 10.0])
    plain_BVD = torch.zeros(4000, 1, 3)
    made = FeatureViews(0.3, deviation_D)(plain_BVD, keys(np.arange(4000), 0, "view"))
    assert torch.allclose(made.std(0), 0.3 * deviation_D, rtol=0.05)
    assert torch.allclose(made.mean(0), torch.zeros(3), atol=0.2)
    still = FeatureViews(0.0, deviation_D).distinct(plain_BVD, [keys(np.arange(4000), 0, view) for view in range(2)])
    assert torch.equal(still, torch.zeros(2, 4000, 3))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_normal_numbers_are_normal_and_a_row_has_its_own(count: int) -> None:
    drawn = normals(keys(np.arange(20_000), 3, "test"), count)
    assert drawn.shape == (20_000, count)
    assert np.allclose(drawn.mean(0), 0, atol=0.03)
    assert np.allclose(drawn.std(0), 1, atol=0.03)
    assert np.allclose(np.corrcoef(drawn.T), np.eye(count), atol=0.03)
    assert np.array_equal(normals(keys(np.array([41]), 3, "test"), count)[0], drawn[41])


def test_the_epoch_pass_and_the_closing_views(project: Project) -> None:
    trainer = project.build()
    advance(trainer, 1)
    train_N = np.flatnonzero(project.manifest.frame["split"] == "train")
    seen = epoch_pass(trainer.engine, trainer.images, trainer.recipe.given_NK, PlainViews())
    plain = trainer.classifier.predict(torch.from_numpy(project.stored_NVD[train_N, 0]))
    assert torch.allclose(seen.confidence_NK, plain, atol=1e-6)
    closing = DrawnViews(trainer.augment, 0, ("closing",))
    made = closing.of(trainer.images, torch.arange(30))
    assert made.shape == (2, 30, 12)
    assert not (made[0] == made[1]).all(1).any()
    assert torch.equal(made[:, 5:6], closing.of(trainer.images, torch.tensor([5])))


def test_standardising_uses_the_plain_views_of_the_training_split(project: Project) -> None:
    trainer = project.build()
    train_N = np.flatnonzero(project.manifest.frame["split"] == "train")
    plain_ND = project.stored_NVD[train_N, 0].astype(np.float64)
    network: Any = trainer.classifier.network
    assert np.allclose(network.standardise.mean, plain_ND.mean(0), rtol=1e-6)
    assert np.allclose(network.standardise.deviation, plain_ND.std(0), rtol=1e-6)


def test_features_beyond_the_memory_limit_are_read_on_demand(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = project.build()
    advance(kept, 3)
    monkeypatch.setattr("bmix.data.stores.MEMORY_LIMIT", 0)
    monkeypatch.setenv("BMIX_WORKERS", "0")
    mapped = project.build()
    assert not mapped.images.in_memory
    advance(mapped, 3)
    own, other = kept.classifier.state_dict(), mapped.classifier.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in own.items())


def test_a_backbone_that_does_not_fit_the_data_is_refused(project: Project) -> None:
    with pytest.raises(InputError, match=r"model\.backbone: is small, which takes images, and the data holds features"):
        project.build("model.backbone=small")


def test_features_of_another_data_set_are_refused(project: Project) -> None:
    path = project.folder / "data/prepared/images" / FEATURES_FILE
    np.save(path, project.stored_NVD[:10])
    with pytest.raises(InputError, match=r"float16 \(10, 3, 12\)"):
        open_store(project.manifest, "train", path.parent, 64)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="not readable"):
        open_store(project.manifest, "train", path.parent, 64)
