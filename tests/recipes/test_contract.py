"""What every recipe of the registry must do, those to come included."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from bmix.data.manifest import Manifest
from bmix.evaluation.results import TrainingTables, evaluate, metrics_of
from bmix.evaluation.verdicts import place_verdicts
from bmix.params import flat, parse_params, read_yaml
from bmix.recipes import RECIPES, own_settings
from bmix.recipes.shared.base import EpochPass, Recipe, Side, Step
from bmix.recipes.shared.settings import meanings
from bmix.support.errors import InputError
from bmix.support.files import read_json
from bmix.training.checkpoint import Checkpoints
from bmix.training.identity import RunIdentity
from bmix.training.loop import Trainer
from bmix.training.run import build_recipe, write_outputs
from bmix.training.state import load_run, save_run
from bmix.workspace.pipeline_file import declared
from tests.helpers.projects import run
from tests.helpers.runs import CLASSES, build_run, train, write_images
from tests.helpers.tiny import REPOSITORY
from tests.training.test_ranks import TORCHRUN

NAMES = list(RECIPES)
CONTENT: dict[str, Any] = read_yaml(REPOSITORY / "params.yaml")
every_recipe = pytest.mark.parametrize("name", NAMES)
ROWS = 60


def gentle_settings(name: str) -> Any:
    """The settings of a run of few images: with the defaults some recipes find nothing to do in so few."""
    settings = own_settings(name, CONTENT["recipes"][name])
    smaller = {"delta_rel": 2.0, "tau": 0.4, "minimum": 5}
    changes = {key: value for key, value in smaller.items() if key in meanings(RECIPES[name].Settings)}
    return dataclasses.replace(settings, **changes) if changes else settings


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], np.ndarray, np.ndarray]:
    """Images, and their given and true labels."""
    paths, true_NK = write_images(tmp_path_factory.mktemp("images"), ROWS)
    wrong_NK = np.random.default_rng(1).random(true_NK.shape) < 0.2
    return paths, true_NK ^ wrong_NK, true_NK


def build(name: str, tiny: tuple[list[Path], np.ndarray, np.ndarray], **plan: Any) -> Trainer:
    paths, given_NK, true_NK = tiny
    plan = {"epochs": 4, "warmup_epochs": 2} | plan
    return build_run(paths, given_NK, name, own=gentle_settings(name), true_NK=true_NK, **plan)


@every_recipe
def test_params_yaml_holds_every_setting_at_its_default(name: str) -> None:
    kind = RECIPES[name].Settings
    values = CONTENT["recipes"][name]
    assert set(values) == set(meanings(kind))
    assert own_settings(name, values) == own_settings(name, {})
    assert all(meanings(kind).values())


def test_params_yaml_has_a_section_for_each_recipe_and_no_other() -> None:
    assert sorted(CONTENT["recipes"]) == NAMES


@every_recipe
def test_the_settings_of_another_recipe_change_nothing(name: str) -> None:
    values = flat(parse_params(CONTENT | {"training": CONTENT["training"] | {"recipe": name}}).model_dump())
    for stage in ("warmup", "train"):
        settings = declared(stage, values, REPOSITORY / "dvc.yaml").settings(values)
        own = {key for key in settings if key.startswith("recipes.")}
        assert own == {f"recipes.{name}.{key}" for key in CONTENT["recipes"][name]}


def example_recipe(name: str, classes: int, epochs: int) -> Recipe:
    """A recipe after some epochs, without a network; the last class has no positive."""
    generator = torch.Generator().manual_seed(0)
    given_NK, true_NK = torch.rand(2, ROWS, classes, generator=generator) < 0.4
    given_NK[:, -1] = False
    kind = RECIPES[name]
    recipe = kind(given_NK, own=gentle_settings(name), true_NK=true_NK if kind.needs_truth else None)
    for epoch in range(1, epochs + 1):
        recipe.begin_epoch(epoch, epochs)
        confidence_MNK = torch.rand(kind.members, ROWS, classes, generator=generator)
        losses_MNK = -torch.where(given_NK, confidence_MNK, 1 - confidence_MNK).log()
        members = losses_MNK if kind.members > 1 else None
        recipe.end_epoch(EpochPass(losses_MNK.mean(dim=0), confidence_MNK.mean(dim=0), members), manage=epoch >= 2)
    return recipe


def example_step(recipe: Recipe, rows: Tensor, partners: Tensor) -> Step:
    generator = torch.Generator().manual_seed(1)
    views, partner_views = torch.rand(2, len(rows), 4, generator=generator)
    if not recipe.mixes:
        return Step(Side(rows, views))
    # λ of 1 and of 1/2 too: labels that are hard, and those that are as soft as can be.
    coefficient = torch.linspace(0.5, 1, len(rows))
    return Step(Side(rows, views), Side(partners, partner_views), coefficient)


@pytest.mark.slow
@every_recipe
@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("epochs", [0, 1, 3])
@pytest.mark.parametrize("largest", [3.0, 300.0])
def test_losses_and_gradients_are_finite(name: str, classes: int, epochs: int, largest: float) -> None:
    recipe = example_recipe(name, classes, epochs)
    rows, partners = torch.arange(0, 24), torch.arange(24, 48)
    logits = torch.randn(recipe.members, 24, classes, generator=torch.Generator().manual_seed(2))
    logits = (logits * largest / logits.abs().max()).requires_grad_()
    result = recipe.step(
        lambda views: logits if recipe.members > 1 else logits[0], example_step(recipe, rows, partners)
    )
    assert result.loss.ndim == 0
    assert result.loss.isfinite()
    assert result.loss > 0
    result.loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    if name != "max-margin" or classes > 1 or largest < 10:
        # Of a class by itself max-margin asks about images without it alone, and its affinity can be saturated.
        assert logits.grad.abs().sum() > 0
    if result.verdict is not None:
        assert result.verdict.shape == (24, classes)
        assert result.verdict.dtype == torch.uint8


@pytest.mark.slow
@every_recipe
@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_its_state_is_all_that_the_next_epoch_needs(name: str, epochs: int) -> None:
    before, other = example_recipe(name, 4, epochs), example_recipe(name, 4, 0)
    state = before.state()
    other.load_state({key: value.clone() for key, value in state.items()})
    assert other.state().keys() == state.keys()
    assert all(torch.equal(other.state()[key], value) for key, value in state.items())
    assert other.managing == before.managing
    rows, partners = torch.arange(0, 24), torch.arange(24, 48)
    logits = torch.randn(before.members, 24, 4, generator=torch.Generator().manual_seed(2))
    losses = []
    for recipe in (before, other):
        recipe.begin_epoch(epochs + 1, epochs + 2)
        result = recipe.step(
            lambda views: logits if before.members > 1 else logits[0], example_step(recipe, rows, partners)
        )
        losses.append(result.loss)
        probability_N = recipe.partner_probability()
        assert probability_N is None or float(probability_N.sum()) == pytest.approx(1)
        assert recipe.wants_pass(manage=True) == before.wants_pass(manage=True)
    assert torch.equal(losses[0], losses[1])
    ledgers = [recipe.ledger(None) for recipe in (before, other)]
    assert torch.equal(ledgers[0].labels_NK, ledgers[1].labels_NK)
    assert torch.equal(ledgers[0].verdict_NK, ledgers[1].verdict_NK)


def written(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def stateless_left_out(name: str) -> Any:
    """`name`, exhaustive where the recipe has no state of its own: two of these stand for all."""
    alike = RECIPES[name].state is Recipe.state and name not in ("bce", "max-margin")
    return pytest.param(name, marks=pytest.mark.exhaustive) if alike else name


@pytest.mark.slow
@pytest.mark.parametrize("name", map(stateless_left_out, NAMES))
def test_a_run_learns_resumes_to_the_same_bytes_and_writes_every_declared_output(
    name: str, tiny: tuple[list[Path], np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    uncut = train(build(name, tiny))
    write_outputs(uncut, uncut.close(), tmp_path / "uncut")
    history = uncut.tables.history
    assert history[-1]["train_loss"] < history[0]["train_loss"]

    warmup = train(build(name, tiny), until=2)
    save_run(warmup, tmp_path / "warmup")
    begun = build(name, tiny)
    load_run(begun, tmp_path / "warmup")
    checkpoints = Checkpoints(tmp_path, "train", RunIdentity({"seed": 0}))
    checkpoints.save(train(begun, until=3))
    resumed = build(name, tiny)
    assert checkpoints.resume(resumed)
    checkpoints.save(train(resumed))
    ended = build(name, tiny)
    assert checkpoints.resume(ended)
    for title, trainer in (("cut", resumed), ("ended", ended)):
        write_outputs(trainer, trainer.close(), tmp_path / title)
        assert written(tmp_path / title) == written(tmp_path / "uncut"), title

    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert all((tmp_path / "uncut" / output).exists() for output in stages["train"]["outs"])
    assert_evaluated(tmp_path / "uncut", uncut, tiny)


def assert_evaluated(folder: Path, trainer: Trainer, tiny: tuple[list[Path], np.ndarray, np.ndarray]) -> None:
    """What was written is what evaluation takes; labels that were managed are scored."""
    paths, given_NK, true_NK = tiny
    managed = read_json(folder / "verdicts.json")["managed"]
    verdicts = pd.read_parquet(folder / "verdicts.parquet")
    labels = place_verdicts(verdicts, [path.stem for path in paths], CLASSES, given_NK)
    record = TrainingTables(
        pd.read_csv(folder / "history.csv"),
        pd.read_parquet(folder / "mixtures.parquet"),
        pd.read_csv(folder / "sampler.csv"),
        managed,
        0.9,
    )
    scores = trainer.classifier.predict(paths).numpy()
    found = evaluate({"test": (scores, true_NK)}, true_NK.sum(axis=0), labels, true_NK, record, (30, 10), 20)
    metrics = metrics_of(found)
    assert metrics["mAP"]["all"] > 0
    assert (metrics["detection"] is not None) == managed
    shares = record.history["clean"].notna()
    assert (shares == (record.history["phase"] == "managed")).all()
    assert managed == bool(shares.any())


LEARN = """
import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from bmix.training.ranks import process_group
from tests.helpers.runs import train
from tests.recipes.test_contract import NAMES, build

folder = Path(sys.argv[1])
torch.set_num_threads(1)
tiny = sorted(folder.glob("*.png")), np.load(folder / "given.npy"), np.load(folder / "true.npy")
with process_group() as ranks:
    for name in NAMES:
        trainer = build(name, tiny, epochs=2, warmup_epochs=1, ranks=ranks)
        recipe = trainer.recipe
        recipe.begin_epoch(1, 2)
        trainer.epoch = 1
        trainer._learn(manage=True)
        found = {f"learnt.{key}": value.clone() for key, value in recipe.state().items()}
        train(trainer)
        ledger = trainer.close()
        found |= {key: value.contiguous() for key, value in trainer.classifier.state_dict().items()}
        found |= {f"recipe.{key}": value.contiguous() for key, value in recipe.state().items()}
        found |= {"verdict": ledger.verdict_NK, "labels": ledger.labels_NK, "weight": ledger.weight_NK}
        found["losses"] = torch.tensor([row["train_loss"] for row in trainer.tables.history])
        save_file(found, folder / f"{name}-{ranks.rank}-of-{ranks.count}.safetensors")
"""


def test_two_processes_learn_what_one_does_and_stay_equal(
    tiny: tuple[list[Path], np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    paths, given_NK, true_NK = tiny
    for path in paths:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    np.save(tmp_path / "given.npy", given_NK)
    np.save(tmp_path / "true.npy", true_NK)
    (tmp_path / "learn.py").write_text(LEARN, encoding="utf-8")
    for command in ([], TORCHRUN):
        ended = run(tmp_path, *command, str(tmp_path / "learn.py"), str(tmp_path), PYTHONPATH=str(REPOSITORY))
        assert ended.returncode == 0, ended.stdout
    for name in NAMES:
        alone, first, second = (
            load_file(tmp_path / f"{name}-{part}.safetensors") for part in ("0-of-1", "0-of-2", "1-of-2")
        )
        # Gradients are summed in another order by two, but both of these are in the same state.
        assert first.keys() == second.keys() == alone.keys(), name
        for key, value in first.items():
            assert torch.equal(value, second[key]), f"{name}: {key}"
            # With equal weights two learn from the pass what one learns.
            assert not key.startswith("learnt.") or torch.equal(value, alone[key]), f"{name}: {key}"
        assert first["losses"].isfinite().all()


@every_recipe
def test_true_labels_are_shown_to_a_recipe_that_needs_them_alone(name: str) -> None:
    params = parse_params(CONTENT | {"training": CONTENT["training"] | {"recipe": name}})
    frame = pd.DataFrame({"id": list("ab"), "split": "train", "labels": [["x"], ["y"]], "ignore": [[], []]})
    manifest, cpu = Manifest(frame, ["x", "y"]), torch.device("cpu")
    given_NK, true_NK = np.eye(2, dtype=np.uint8), np.ones((2, 2), np.uint8)
    needs_truth = RECIPES[name].needs_truth
    assert needs_truth == (name == "oracle")
    recipe = build_recipe(params, manifest, given_NK, true_NK, cpu)
    assert (recipe.true_NK is not None) == needs_truth
    if needs_truth:
        with pytest.raises(InputError, match="oracle trains on the true labels, and they are unknown"):
            build_recipe(params, manifest, given_NK, None, cpu)
    else:
        assert build_recipe(params, manifest, given_NK, None, cpu).image_ids == ["a", "b"]
