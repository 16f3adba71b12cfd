"""What the optimiser's share depends on: the moving average, the backbone's rate, dropout, and how they resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bmix.data.augment import build_augment
from bmix.data.images import ImageStore
from bmix.models.backbones import build_classifier
from bmix.models.heads import HeadSettings, KeyedDropout
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier, load_classifier, save_classifier
from bmix.randomness import keys, uniforms
from bmix.recipes import RECIPES
from bmix.training.average import WeightAverage
from bmix.training.engine import Engine
from bmix.training.loop import Trainer
from bmix.training.passes import confidence
from bmix.training.plan import Plan
from bmix.training.state import load_run, save_run
from tests.helpers.runs import CLASSES, SIZE, build_run, same_weights, train, write_images

DROPOUT = HeadSettings(hidden=32, norm="none", dropout=0.3)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], np.ndarray]:
    return write_images(tmp_path_factory.mktemp("images"), 40)


def dropout_run(paths: list[Path], given_NK: np.ndarray, **plan: object) -> Trainer:
    fields = {"epochs": 4, "warmup_epochs": 2, "batch_size": 16, "optimizer": "adamw", "learning_rate": 3e-3} | plan
    network = build_classifier("small", "mlp", len(CLASSES), "none", seed=0, head_settings=DROPOUT)
    classifier = Classifier(network, ClassifierSpec.of("small", "mlp", SIZE, CLASSES, DROPOUT))
    recipe = RECIPES["balancemix"](torch.from_numpy(given_NK.astype(bool)))
    return Trainer(classifier, recipe, ImageStore(paths, SIZE), Plan(**fields), build_augment("gentle"))  # type: ignore[arg-type]


def test_the_average_is_a_running_mean_over_the_steps() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = WeightAverage(network, 0.9)
    expected = {name: value.double().clone() for name, value in network.state_dict().items()}
    for step in range(200):
        with torch.no_grad():
            network[0].weight.add_(0.1 * step)
            network[1].running_mean.add_(1)  # type: ignore[operator]
            network[1].num_batches_tracked.add_(1)  # type: ignore[operator]
        average.update()
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            kept = value.double() if "num_batches" in name else decay * expected[name] + (1 - decay) * value.double()
            expected[name] = kept
    own = {name: value.clone() for name, value in network.state_dict().items()}
    with average.applied():
        for name, value in network.state_dict().items():
            assert torch.allclose(value.double(), expected[name], rtol=1e-4), name
    assert all(torch.equal(value, own[name]) for name, value in network.state_dict().items())


def test_what_is_measured_and_saved_is_the_average(
    tiny: tuple[list[Path], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[dict[str, torch.Tensor]] = []

    def watched(engine: Engine, *arguments: Any) -> torch.Tensor:
        measured.append({name: value.clone() for name, value in engine.classifier.network.state_dict().items()})
        return confidence(engine, *arguments)

    plain = train(build_run(*tiny))
    monkeypatch.setattr("bmix.training.loop.confidence", watched)
    averaged = train(build_run(*tiny, average=0.98))
    # The average has no say in how the weights go on.
    assert same_weights(plain, averaged)
    assert averaged.engine.average is not None
    average = {name.removeprefix("average."): value for name, value in averaged.engine.average.state().items()}
    assert all(torch.equal(value, average[name]) for name, value in measured[3].items())
    averaged.close()
    final = averaged.classifier.network.state_dict()
    assert all(torch.equal(value, average[name]) for name, value in final.items())
    assert not same_weights(plain, averaged)


@pytest.mark.parametrize("plan", [{"average": 0.9}, pytest.param({"average": 0.0}, marks=pytest.mark.exhaustive)])
def test_a_run_with_dropout_resumes_to_the_same_bytes(
    tiny: tuple[list[Path], np.ndarray], tmp_path: Path, plan: dict[str, float]
) -> None:
    whole, first, second = (dropout_run(*tiny, **plan) for _ in range(3))
    train(whole)
    save_run(train(first, 3), tmp_path / "state")
    load_run(second, tmp_path / "state")
    train(second)
    for trainer in (whole, second):
        trainer.close()
    assert same_weights(whole, second)
    assert not same_weights(whole, first)


def test_a_row_drops_what_its_own_key_says() -> None:
    dropout = KeyedDropout(0.25).train()
    rows_BC = torch.randn(400, 50)
    dropout.keys_B = keys(np.arange(400), 0, "test")
    dropped = dropout(rows_BC)
    for row in (0, 17, 399):
        numbers = uniforms(dropout.keys_B[row : row + 1], 50)[0]
        for c in range(50):
            assert float(dropped[row, c]) == pytest.approx(float(rows_BC[row, c]) / 0.75 if numbers[c] >= 0.25 else 0.0)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert torch.equal(dropout.eval()(rows_BC), rows_BC)
    with pytest.raises(ValueError, match="a key for each row"):
        dropout.train()(rows_BC[:3])


def test_every_step_drops_anew(tiny: tuple[list[Path], np.ndarray]) -> None:
    trainer = dropout_run(*tiny)
    seen: list[np.ndarray] = []
    classify = trainer.engine.classify

    def watched(views: torch.Tensor) -> torch.Tensor:
        seen.append(trainer.engine._dropouts[0].keys_B)  # type: ignore[arg-type]
        return classify(views)

    trainer.engine.classify = watched  # type: ignore[method-assign]
    train(trainer, 2)
    drawn = np.concatenate(seen)
    assert len(drawn) == 80
    assert len(np.unique(drawn)) == 80


def test_the_backbone_has_a_rate_of_its_own(tiny: tuple[list[Path], np.ndarray]) -> None:
    trainer = build_run(*tiny, backbone_rate=0.0, learning_rate=0.01, weight_decay=0.0)
    before = {name: value.clone() for name, value in trainer.classifier.network.named_parameters()}
    train(trainer, 1)
    moved = {
        name for name, value in trainer.classifier.network.named_parameters() if not torch.equal(value, before[name])
    }
    assert moved == {"head.linear.weight", "head.linear.bias"}
    half = build_run(*tiny, backbone_rate=0.5)
    half.engine.update(next(half.classifier.parameters()).sum(), 0.02)
    assert [group["lr"] for group in half.engine.optimizer.param_groups] == [0.02, 0.01]
    assert sum(len(group["params"]) for group in half.engine.optimizer.param_groups) == len(before)


def test_a_head_with_settings_is_saved_and_loaded(tmp_path: Path) -> None:
    network = build_classifier("small", "mlp", 3, "none", seed=0, head_settings=DROPOUT)
    classifier = Classifier(network, ClassifierSpec.of("small", "mlp", SIZE, CLASSES, DROPOUT))
    save_classifier(classifier, tmp_path)
    loaded = load_classifier(tmp_path)
    assert loaded.spec == classifier.spec
    assert loaded.spec.head_settings == DROPOUT
    images = torch.randint(256, (3, 3, SIZE, SIZE), dtype=torch.uint8)
    assert torch.equal(loaded.predict(images), classifier.predict(images))
    assert not any(isinstance(module, nn.BatchNorm1d) for module in loaded.network.head.modules())
    plain = ClassifierSpec.of("small", "mlp", SIZE, CLASSES).content()
    assert not {"hidden", "norm", "dropout"} & plain.keys()
