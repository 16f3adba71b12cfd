"""Runs that start where another ended: longer ones with a constant rate, and those from an earlier model's weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bmix.models.backbones import build_classifier
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier, save_classifier
from bmix.training.checkpoint import Checkpoints
from bmix.training.finished import drop_finished
from bmix.training.identity import RunIdentity
from bmix.training.plan import Plan
from bmix.training.state import save_run
from stages.session import determining
from tests.helpers.runs import build_run, train, write_images

Data = tuple[list[Path], np.ndarray]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return write_images(tmp_path_factory.mktemp("images"), 40)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_schedules() -> None:
    moments = np.linspace(0, 1, 101)
    cosine, constant, cycle = (
        [Plan(10, 1, learning_rate=0.5, schedule=name).learning_rate_at(moment) for moment in moments]
        for name in ("cosine", "constant", "one-cycle")
    )
    assert cosine == [0.5 * 0.5 * (1 + math.cos(math.pi * moment)) for moment in moments]
    assert set(constant) == {0.5}
    assert cycle[30] == max(cycle) == 0.5
    assert (cycle[0], cycle[-1]) == pytest.approx((0.5 / 25, 0.5 / 250_000))
    assert (np.diff(cycle[:31]) > 0).all()
    assert (np.diff(cycle[30:]) < 0).all()
    # Half way up and half way down along a cosine.
    assert (cycle[15], cycle[65]) == pytest.approx(((0.5 + 0.5 / 25) / 2, (0.5 + 0.5 / 250_000) / 2))


@pytest.mark.parametrize("recipe", ["balancemix", "ll-ct"])
def test_with_a_constant_rate_a_longer_run_goes_on_to_the_bytes_of_an_uninterrupted_one(
    data: Data, tmp_path: Path, recipe: str
) -> None:
    def settings(epochs: int) -> dict[str, object]:
        return determining({"training.epochs": epochs, "training.schedule": "constant", "training.seed": 0})

    def checkpoints(epochs: int) -> Checkpoints:
        return Checkpoints(tmp_path / "checkpoints", "train", RunIdentity.of(settings(epochs), [], []))

    short = train(build_run(*data, recipe=recipe, epochs=3, schedule="constant"))
    kept = checkpoints(3)
    kept.save(short)
    short.close()
    kept.finish(keep=True)
    drop_finished(tmp_path / "checkpoints")

    longer = build_run(*data, recipe=recipe, epochs=5, schedule="constant")
    assert checkpoints(5).resume(longer)
    assert longer.epoch == 3
    save_run(train(longer), tmp_path / "longer")
    save_run(train(build_run(*data, recipe=recipe, epochs=5, schedule="constant")), tmp_path / "whole")
    assert files(tmp_path / "longer") == files(tmp_path / "whole")

    shorter = build_run(*data, recipe=recipe, epochs=2, schedule="constant", warmup_epochs=1)
    assert not checkpoints(2).resume(shorter)


def test_with_another_schedule_the_number_of_epochs_tells_runs_apart() -> None:
    for schedule in ("cosine", "one-cycle"):
        settings = {"training.epochs": 3, "training.schedule": schedule}
        assert determining(settings) == settings


def test_the_folder_of_a_model_gives_first_weights(tmp_path: Path) -> None:
    network = build_classifier("small", "linear", 3, "none", seed=1)
    spec = ClassifierSpec.of("small", "linear", 16, ["a", "b", "c"])
    save_classifier(Classifier(network, spec), tmp_path / "final")
    folder = str(tmp_path / "final")

    def built(classes: list[str]) -> dict[str, torch.Tensor]:
        return build_classifier("small", "linear", len(classes), folder, seed=2, classes=classes).state_dict()

    same, before = built(["a", "b", "c"]), network.state_dict()
    assert all(torch.equal(same[name], before[name]) for name in before)
    drawn = build_classifier("small", "linear", 3, "none", seed=2).state_dict()
    for classes in (["b", "a", "c"], ["a", "b", "x"]):
        other = built(classes)
        assert all(torch.equal(other[name], before[name]) for name in before if not name.startswith("head."))
        assert torch.equal(other["head.linear.weight"], drawn["head.linear.weight"])
    assert built(["a", "b"])["head.linear.weight"].shape[0] == 2
