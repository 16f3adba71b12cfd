"""Pseudo-labelled images in the random sampler: what they add to a step, and what stays as it is."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bmix.data.augment import identity
from bmix.data.images import ImageStore
from bmix.method.mixing import mix
from bmix.method.objective import label_losses
from bmix.recipes.shared.base import Side, Step
from bmix.training.loop import Trainer
from bmix.training.pool import JoinedStore, Pool, pool_loss
from bmix.training.state import load_run, save_run
from tests.helpers.runs import SIZE, build_run, same_weights, train, write_images

COUNT, OTHERS = 24, 16


@pytest.fixture
def made(tmp_path: Path) -> tuple[list[Path], np.ndarray]:
    return write_images(tmp_path, COUNT + OTHERS)


def run(made: tuple[list[Path], np.ndarray], recipe: str, weight: float = 1.0, **plan: object) -> Trainer:
    """A run on the first COUNT images, the pseudo-labels of the others being in the pool from the start."""
    paths, labels_NK = made
    trainer = build_run(paths[:COUNT], labels_NK[:COUNT], recipe, **plan)  # type: ignore[arg-type]
    pseudo_UK = torch.from_numpy(labels_NK[COUNT:].astype(np.int8))
    pseudo_UK[::3, 1] = -1
    pool = Pool(ImageStore(paths[COUNT:], SIZE), pseudo_UK, weight, [path.stem for path in paths[COUNT:]])
    parts = trainer.classifier, trainer.recipe, trainer.images, trainer.plan, trainer.augment, trainer.validation
    return Trainer(*parts, pool=pool)


def test_joined_stores_read_as_one(made: tuple[list[Path], np.ndarray]) -> None:
    paths, _ = made
    first, second, whole = (ImageStore(part, SIZE) for part in (paths[:COUNT], paths[COUNT:], paths))
    joined = JoinedStore(first, second)
    assert len(joined) == len(whole)
    for rows in (torch.tensor([30, 2, 24, 23, 2, 39]), torch.tensor([1, 0]), torch.tensor([39])):
        assert torch.equal(joined.read(rows), whole.read(rows))


@pytest.mark.parametrize("rows", [[3, 30, 5, 24, 7], [30, 24], [3, 5]])
@pytest.mark.parametrize("recipe", ["bce", "mixup", "co-teaching"])
def test_a_step_is_the_mean_over_labelled_and_pseudo_labelled_images(
    made: tuple[list[Path], np.ndarray], recipe: str, rows: list[int]
) -> None:
    trainer = run(made, recipe, weight=0.5)
    given_NK, pseudo_UK = trainer.recipe.given_NK, trainer.pool.labels_UK  # type: ignore[union-attr]
    rng = np.random.default_rng(0)
    views = torch.from_numpy(rng.random((len(rows), 3, 4, 4), dtype=np.float32))
    partner_views = torch.from_numpy(rng.random((len(rows), 3, 4, 4), dtype=np.float32))
    partners, coefficient = torch.arange(len(rows)), torch.linspace(0.5, 0.9, len(rows))
    partner = Side(partners, partner_views) if trainer.recipe.mixes else None
    step = Step(Side(torch.tensor(rows), views), partner, coefficient if partner else None)
    members, calls = trainer.recipe.members, []

    def classify(shown: torch.Tensor) -> torch.Tensor:
        calls.append(len(shown))
        logits = torch.stack([shown[:, k].mean(dim=(1, 2)) * 4 - 2 for k in range(3)], dim=1)
        return torch.stack([logits * (1 + member) for member in range(members)]) if members > 1 else logits

    result, labelled = trainer.pool.step(trainer.recipe, classify, step)  # type: ignore[union-attr]
    assert calls == [len(rows)]
    assert labelled.tolist() == [row for row in rows if row < COUNT]
    total = 0.0
    for place, row in enumerate(rows):
        own = views[place]
        labels = given_NK[row].float() if row < COUNT else pseudo_UK[row - COUNT].clamp(min=0).float()
        if partner is not None:
            share = coefficient[place : place + 1]
            own = mix(own[None], partner_views[place][None], share)[0]
            labels = mix(labels[None], given_NK[partners[place]].float()[None], share)[0]
        for member in range(members):
            for k in range(3):
                logit = (own[k].mean() * 4 - 2) * (1 + member)
                weight = 1.0 if row < COUNT else 0.5 if pseudo_UK[row - COUNT, k] >= 0 else 0.0
                total += weight * label_losses(logit, labels[k]).item()
    assert result.loss.item() == pytest.approx(total / len(rows), rel=1e-5)


def test_of_one_class_an_image_the_loss_is_the_cross_entropy() -> None:
    rng = np.random.default_rng(0)
    logits, targets = torch.from_numpy(rng.normal(size=(6, 4))), torch.from_numpy(rng.dirichlet(np.ones(4), size=6))
    weight = torch.tensor([0.5, 0, 0.5, 0.5, 0, 0.5], dtype=torch.float64)[:, None].expand(-1, 4)
    slow = 0.0
    for row in range(6):
        total = sum(math.exp(value) for value in logits[row].tolist())
        for k in range(4):
            slow -= weight[row, k].item() * targets[row, k].item() * math.log(math.exp(logits[row, k].item()) / total)
    assert pool_loss(logits, targets, weight, single_label=True).item() == pytest.approx(slow / 6)


def test_what_is_unknown_has_no_gradient(made: tuple[list[Path], np.ndarray]) -> None:
    trainer = run(made, "bce")
    logits = torch.zeros(2, 3, requires_grad=True)
    step = Step(Side(torch.tensor([COUNT, COUNT + 1]), torch.zeros(2, 3, 4, 4)))
    trainer.pool.step(trainer.recipe, lambda shown: logits, step)[0].loss.backward()  # type: ignore[union-attr]
    assert logits.grad is not None
    assert (logits.grad == 0).tolist() == [[False, True, False], [False, False, False]]


@pytest.mark.parametrize("recipe", ["bce", "balancemix", "t-estimator"])
def test_an_epoch_visits_every_image_and_judges_the_labelled_ones(
    made: tuple[list[Path], np.ndarray], recipe: str, tmp_path: Path
) -> None:
    trainer = run(made, recipe, epochs=3, warmup_epochs=1)
    drawn = [rows for views in trainer._steps(1) for rows in views.random.rows.tolist()]
    assert sorted(drawn) == list(range(COUNT + OTHERS))
    partners = [row for views in trainer._steps(1) if views.partner for row in views.partner.rows.tolist()]
    assert all(row < COUNT for row in partners)
    train(trainer, 2)
    save_run(trainer, tmp_path / "state")
    again = run(made, recipe, epochs=3, warmup_epochs=1)
    load_run(again, tmp_path / "state")
    assert same_weights(train(trainer), train(again))
    assert trainer.close().given_NK.shape == (COUNT, 3)
    if recipe == "balancemix":
        assert trainer.recipe.mixtures is not None
        assert trainer.recipe.mixtures.counts.sum() == COUNT * 3


def test_a_pool_of_weight_0_leaves_the_labelled_loss_alone(made: tuple[list[Path], np.ndarray]) -> None:
    plain, pooled = run(made, "bce", weight=0.0), run(made, "bce", weight=1.0)
    step = Step(Side(torch.tensor([1, 30]), torch.zeros(2, 3, 4, 4)))
    results = [one.pool.step(one.recipe, lambda shown: torch.ones(len(shown), 3), step)[0] for one in (plain, pooled)]  # type: ignore[union-attr]
    alone = plain.recipe.step(
        lambda shown: torch.ones(len(shown), 3), Step(Side(torch.tensor([1]), torch.zeros(1, 3, 4, 4)))
    )
    assert results[0].loss.item() == pytest.approx(alone.loss.item() / 2)
    assert results[1].loss > results[0].loss


def test_the_views_of_the_pool_are_augmented_too(made: tuple[list[Path], np.ndarray]) -> None:
    trainer = run(made, "bce")
    trainer.augment = identity
    (step,) = [views for views in trainer._steps(1) if 30 in views.random.rows.tolist()]
    place = step.random.rows.tolist().index(30)
    plain = trainer.pool.images.read(torch.tensor([30 - COUNT]))[0]  # type: ignore[union-attr]
    assert torch.equal(step.random.train[place], plain)
