"""The settings of the method and of the plan have the effect on a run that their formulas say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bmix.data.augment import gentle
from bmix.method.refine import AMBIGUOUS, CLEAN, RELABELLED
from bmix.method.settings import MethodSettings
from bmix.randomness import keys
from bmix.recipes.balancemix import BalanceMix
from bmix.recipes.shared.base import EpochPass
from bmix.training.loop import Trainer
from tests.helpers.runs import build_run, train, write_images


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], np.ndarray]:
    return write_images(tmp_path_factory.mktemp("images"), 60)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_sampler_is_equations_2_to_4_at_its_sharpness(sharpness: float) -> None:
    generator = torch.Generator().manual_seed(0)
    given_NK = torch.rand(12, 3, generator=generator) < 0.4
    confidence_NK = torch.rand(12, 3, generator=generator)
    recipe = BalanceMix(given_NK, MethodSettings(sharpness=sharpness))
    recipe.end_epoch(EpochPass(torch.zeros(12, 3), confidence_NK), manage=False)
    believed = {}
    for k in range(3):
        present = [float(confidence_NK[n, k]) for n in range(12) if given_NK[n, k]]
        absent = [1 - float(confidence_NK[n, k]) for n in range(12) if not given_NK[n, k]]
        believed[k] = sum(absent) / len(absent), sum(present) / len(present)
    scores = [sum(believed[k][int(given_NK[n, k])] for k in range(3)) for n in range(12)]
    powers = [score**-sharpness for score in scores]
    probability_N = recipe.partner_probability()
    assert probability_N is not None
    assert probability_N.tolist() == pytest.approx([power / sum(powers) for power in powers], rel=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 4.0, 32.0])
@pytest.mark.parametrize("recipe", ["mixup", "balancemix"])
def test_coefficients_follow_the_beta_distribution_of_alpha(
    tiny: tuple[list[Path], np.ndarray], recipe: str, alpha: float
) -> None:
    trainer = build_run(*tiny, recipe=recipe, settings=MethodSettings(alpha=alpha))
    drawn = []
    for epoch in range(1, 11):
        for views in trainer._steps(epoch):
            assert views.coefficient is not None
            drawn += views.coefficient.tolist()
    # The variance of Beta(α, α) is 1 / (4 (2α + 1)), and λ is as far from 1/2 as λ'.
    spread = sum((2 * λ - 1) ** 2 for λ in drawn) / len(drawn)
    assert len(drawn) == 600
    assert spread == pytest.approx(1 / (2 * alpha + 1), rel=0.15)


def losses_with_outliers(count: int, *outliers: range) -> Tensor:
    """Losses (N, 1) of about 0.1, and of about 3 for the outliers."""
    losses_N1 = torch.linspace(0.05, 0.15, count)[:, None]
    for few in outliers:
        losses_N1[few.start : few.stop] += 3
    return losses_N1


@pytest.mark.parametrize("trust_positives", [False, True])
def test_trusted_positives_are_never_doubtful(trust_positives: bool) -> None:
    # Images 0 to 19 are given the label; 15 to 19 and 20 to 24 have high losses.
    given_N1 = torch.arange(60)[:, None] < 20
    seen = EpochPass(losses_with_outliers(60, range(15, 25)), torch.full((60, 1), 0.5))
    recipe = BalanceMix(given_N1, MethodSettings(epsilon=0.8, trust_positives=trust_positives))
    recipe.end_epoch(seen, manage=True)
    doubtful_N = recipe.doubtful_rows()
    assert doubtful_N is not None
    expected = list(range(20 if trust_positives else 15, 25))
    assert doubtful_N.nonzero().squeeze(1).tolist() == expected
    recipe.judge(seen)
    ledger = recipe.ledger(torch.where(doubtful_N, 0.1, 0.5)[:, None])
    assert (ledger.verdict_NK == RELABELLED).nonzero()[:, 0].tolist() == expected
    kept = 20 if trust_positives else 15
    assert ledger.labels_NK[:, 0].tolist() == [1.0] * kept + [0.0] * (60 - kept)
    assert ledger.weight_NK.tolist() == [[1.0]] * 60


@pytest.mark.parametrize("views", ["step", "epoch"])
def test_the_closing_verdicts_are_those_of_the_closing_pass(views: str) -> None:
    # Images 0 to 59 are given the label.
    given_N1 = torch.arange(120)[:, None] < 60
    recipe = BalanceMix(given_N1, MethodSettings(epsilon=0.8, audit=views))
    # Before the close others are doubtful, and all confidences are other ones.
    earlier = losses_with_outliers(120, range(10, 20), range(60, 70))
    recipe.end_epoch(EpochPass(earlier, torch.full((120, 1), 0.9)), manage=True)
    confidence_N1 = torch.full((120, 1), 0.5)
    confidence_N1[:36] = 0.1
    losses_N1 = losses_with_outliers(120, range(30, 45), range(110, 120))
    recipe.judge(EpochPass(losses_N1, confidence_N1))
    ledger = recipe.ledger(None if views == "epoch" else confidence_N1)
    expected = [CLEAN] * 30 + [RELABELLED] * 6 + [AMBIGUOUS] * 9 + [CLEAN] * 65 + [AMBIGUOUS] * 10
    assert ledger.verdict_NK[:, 0].tolist() == expected
    assert ledger.labels_NK[:, 0].tolist() == [1.0] * 30 + [0.0] * 6 + [1.0] * 24 + [0.0] * 60
    assert ledger.mixtures is not None
    for given, few, outliers in ((1, range(30, 45), 15), (0, range(110, 120), 10)):
        assert ledger.mixtures.weights[given, 0, 1].item() == pytest.approx(outliers / 60, abs=0.01)
        mean = sum(float(losses_N1[n, 0]) for n in few) / outliers
        assert ledger.mixtures.means[given, 0, 1].item() == pytest.approx(mean, abs=0.01)


@pytest.mark.parametrize("views", ["step", "epoch"])
def test_the_closing_pass_is_by_the_final_weights(tiny: tuple[list[Path], np.ndarray], views: str) -> None:
    trainer = train(build_run(*tiny, settings=MethodSettings(audit=views), seed=5))
    judge = trainer.recipe.judge
    seen: list[EpochPass] = []

    def watched(closing: EpochPass) -> None:
        seen.append(closing)
        judge(closing)

    trainer.recipe.judge = watched  # type: ignore[method-assign]
    trainer.close()
    images = trainer.images.read(torch.arange(60))
    shown = [images]
    if views == "epoch":
        shown = [gentle(images, keys(np.arange(60), 5, "view", "closing", view)) for view in range(2)]
    probability_VNK = [trainer.classifier.predict(view) for view in shown]
    for n in range(60):
        for k in range(3):
            said = [float(probability_NK[n, k]) for probability_NK in probability_VNK]
            losses = [-math.log(p if trainer.recipe.given_NK[n, k] else 1 - p) for p in said]
            assert float(seen[0].confidence_NK[n, k]) == pytest.approx(sum(said) / len(said), abs=1e-5)
            assert float(seen[0].losses_NK[n, k]) == pytest.approx(sum(losses) / len(losses), abs=1e-4)


def updates(trainer: Trainer, learning_rates: list[float]) -> list[tuple[list[Tensor], list[Tensor], list[Tensor]]]:
    """Each update's weights before, gradients and weights after, all float64."""
    parameters = list(trainer.classifier.parameters())
    done = []
    for number, learning_rate in enumerate(learning_rates):
        views = trainer.images.read(torch.arange(8 * number, 8 * number + 8))
        loss = trainer.engine.classify(trainer.engine.normalised(views)).square().mean()
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
        before = [value.detach().double().clone() for value in parameters]
        trainer.engine.update(loss, learning_rate)
        done.append(
            (before, [value.double() for value in gradients], [value.detach().double().clone() for value in parameters])
        )
    return done


LEARNING_RATES = [0.1, 0.05, 0.2]


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.8, 0.3), (0.9, 0.0), (0.0, 0.3)])
def test_sgd_has_the_momentum_and_the_weight_decay_of_the_plan(
    tiny: tuple[list[Path], np.ndarray], momentum: float, weight_decay: float
) -> None:
    trainer = build_run(*tiny, optimizer="sgd", momentum=momentum, weight_decay=weight_decay)
    velocities = [torch.zeros_like(value).double() for value in trainer.classifier.parameters()]
    for learning_rate, weights in zip(LEARNING_RATES, updates(trainer, LEARNING_RATES), strict=True):
        for number, (before, gradient, after) in enumerate(zip(*weights, strict=True)):
            velocities[number] = momentum * velocities[number] + gradient + weight_decay * before
            assert torch.allclose(after, before - learning_rate * velocities[number], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_adamw_has_the_weight_decay_of_the_plan(tiny: tuple[list[Path], np.ndarray], weight_decay: float) -> None:
    trainer = build_run(*tiny, optimizer="adamw", weight_decay=weight_decay)
    means = [torch.zeros_like(value).double() for value in trainer.classifier.parameters()]
    squares = [value.clone() for value in means]
    for step, (learning_rate, weights) in enumerate(
        zip(LEARNING_RATES, updates(trainer, LEARNING_RATES), strict=True), start=1
    ):
        for number, (before, gradient, after) in enumerate(zip(*weights, strict=True)):
            means[number] = 0.9 * means[number] + 0.1 * gradient
            squares[number] = 0.999 * squares[number] + 0.001 * gradient**2
            mean, square = means[number] / (1 - 0.9**step), squares[number] / (1 - 0.999**step)
            decayed = before - learning_rate * weight_decay * before
            expected = decayed - learning_rate * mean / (square.sqrt() + 1e-8)
            assert torch.allclose(after, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_cosine_goes_on_from_step_to_step(tiny: tuple[list[Path], np.ndarray], optimizer: str) -> None:
    trainer = build_run(*tiny, epochs=3, optimizer=optimizer, learning_rate=0.02)
    update = trainer.engine.update
    used: list[float] = []

    def watched(loss: Tensor, learning_rate: float, share: float = 1.0) -> None:
        update(loss, learning_rate, share)
        used.extend(group["lr"] for group in trainer.engine.optimizer.param_groups)

    trainer.engine.update = watched  # type: ignore[method-assign]
    train(trainer)
    # 60 images in batches of 16: four steps an epoch.
    expected = [0.01 * (1 + math.cos(math.pi * step / 12)) for step in range(12)]
    assert used == pytest.approx(expected, rel=1e-12)
    assert [row["learning_rate"] for row in trainer.tables.history] == pytest.approx(expected[3::4], rel=1e-12)
