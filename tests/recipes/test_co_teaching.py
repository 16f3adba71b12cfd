from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import bmix
from bmix.method.mixture import fit_loss_mixtures
from bmix.method.objective import label_losses
from bmix.models.ensemble import Ensemble, average, build_members
from bmix.models.networks import FeatureNetwork
from bmix.models.store import save_classifier
from bmix.recipes.co_teaching import CoTeaching, clean_instances, selected_loss
from bmix.recipes.shared.base import EpochPass, Side, Step
from bmix.support.files import read_json
from bmix.training.passes import PlainViews, confidence, epoch_pass
from tests.helpers.runs import build_run, train, write_images


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], np.ndarray]:
    return write_images(tmp_path_factory.mktemp("images"), 60)


def test_each_networks_mixture_is_on_the_sums_of_its_own_losses() -> None:
    generator = torch.Generator().manual_seed(0)
    losses_MNK = torch.rand(2, 200, 4, generator=generator)
    # Some images are far off for the first network, others for the second.
    losses_MNK[0, :40] += 2
    losses_MNK[1, 100:130] += 2
    clean_MN = clean_instances(losses_MNK)
    for member in range(2):
        sums_N1 = torch.tensor([[float(sum(losses_MNK[member, n]))] for n in range(200)])
        no_label_N1 = torch.zeros(200, 1, dtype=torch.bool)
        expected = fit_loss_mixtures(sums_N1, no_label_N1).clean_probability(sums_N1, no_label_N1) > 0.5
        assert torch.equal(clean_MN[member], expected[:, 0])
    assert not clean_MN[0, :40].any()
    assert clean_MN[0, 40:].all()
    assert not clean_MN[1, 100:130].any()


def test_a_network_learns_from_what_the_other_takes_for_clean() -> None:
    generator = torch.Generator().manual_seed(0)
    given_NK = torch.rand(30, 3, generator=generator) < 0.4
    recipe = CoTeaching(given_NK)
    rows, partners = torch.randint(30, (2, 12), generator=generator)
    views, partner_views = torch.rand(2, 12, 4, generator=generator)
    coefficient = 0.5 + torch.rand(12, generator=generator) / 2
    logits = torch.randn(2, 12, 3, generator=generator)
    step = Step(Side(rows, views), Side(partners, partner_views), coefficient)

    def bce(member: int, b: int, row: int) -> float:
        p_K = [1 / (1 + math.exp(-float(logit))) for logit in logits[member, b]]
        return -sum(math.log(p if bool(given_NK[row, k]) else 1 - p) for k, p in enumerate(p_K))

    def expected(clean: list[list[bool]]) -> float:
        total = 0.0
        for member in range(2):
            by_other = clean[1 - member]
            loss = weights = 0.0
            for b in range(12):
                λ = float(coefficient[b])
                for share, row in ((λ, int(rows[b])), (1 - λ, int(partners[b]))):
                    loss += share * by_other[row] * bce(member, b, row)
                    weights += share * by_other[row]
            total += loss / max(weights, 1)
        return total

    warmup = recipe.step(lambda mixed: logits, step)
    assert warmup.verdict is None
    assert float(warmup.loss) == pytest.approx(expected([[True] * 30] * 2), rel=1e-5)
    for share in (0.5, 0.0):
        recipe.clean_MN = torch.rand(2, 30, generator=generator) < share
        result = recipe.step(lambda mixed: logits, step)
        assert float(result.loss) == pytest.approx(expected(recipe.clean_MN.tolist()), rel=1e-5)


def test_everything_kept_is_bce_at_the_mixed_labels() -> None:
    logits, first, second = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(0))
    first, second = (first > 0).float(), (second > 0).float()
    coefficient = torch.linspace(0.5, 1, 8)
    kept = torch.ones(8)
    mixed = coefficient[:, None] * first + (1 - coefficient[:, None]) * second
    loss = selected_loss(logits, first, second, kept, kept, coefficient)
    assert float(loss) == pytest.approx(float(label_losses(logits, mixed).sum(dim=1).mean()), rel=1e-6)


def test_the_pass_holds_each_networks_losses_and_the_predictions_of_both(tiny: tuple[list[Path], np.ndarray]) -> None:
    trainer = train(build_run(*tiny, recipe="co-teaching"), 1)
    network = trainer.classifier.network
    assert isinstance(network, Ensemble)
    seen = epoch_pass(trainer.engine, trainer.images, trainer.recipe.given_NK, PlainViews())
    network.eval()
    views = trainer.classifier.normalise(trainer.images.read(torch.arange(60)))
    with torch.no_grad():
        alone = [member(views).sigmoid() for member in network.members]
    both = (alone[0] + alone[1]) / 2
    assert torch.allclose(seen.confidence_NK, both, atol=1e-5)
    assert torch.allclose(trainer.classifier.predict(trainer.images.read(torch.arange(60))), both, atol=1e-5)
    assert torch.allclose(confidence(trainer.engine, trainer.images, PlainViews()), both, atol=1e-5)
    given_NK = trainer.recipe.given_NK
    assert torch.allclose(seen.losses_NK, -torch.where(given_NK, both, 1 - both).log(), atol=1e-4)
    assert seen.member_losses_MNK is not None
    for losses_NK, probability_NK in zip(seen.member_losses_MNK, alone, strict=True):
        expected = -torch.where(given_NK, probability_NK, 1 - probability_NK).log()
        assert torch.allclose(losses_NK, expected, atol=1e-4)


def test_no_pass_is_made_that_nothing_is_learnt_from(tiny: tuple[list[Path], np.ndarray]) -> None:
    trainer = train(build_run(*tiny, recipe="co-teaching", epochs=3, warmup_epochs=2))
    assert [row["given_loss"] is None for row in trainer.tables.history] == [True, False, False]
    assert [row["phase"] for row in trainer.tables.history] == ["warmup", "warmup", "plain"]
    assert not trainer.close().managed


def test_the_networks_begin_and_stay_apart_and_are_saved_together(
    tiny: tuple[list[Path], np.ndarray], tmp_path: Path
) -> None:
    trainer = build_run(*tiny, recipe="co-teaching")
    network = trainer.classifier.network
    assert isinstance(network, Ensemble)
    for _ in range(2):
        first, second = ([value.clone() for value in member.parameters()] for member in network.members)
        assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True) if a.ndim > 1)
        train(trainer, trainer.epoch + 1)
    save_classifier(trainer.classifier, tmp_path)
    assert read_json(tmp_path / "model.json")["members"] == 2
    images = trainer.images.read(torch.arange(10))
    assert torch.equal(bmix.load_model(tmp_path).predict(images), trainer.classifier.predict(images))


def test_one_networks_model_says_nothing_of_members(tiny: tuple[list[Path], np.ndarray], tmp_path: Path) -> None:
    save_classifier(build_run(*tiny, recipe="mixup").classifier, tmp_path)
    assert "members" not in read_json(tmp_path / "model.json")


def test_members_from_the_same_weights_differ_in_the_layer_of_the_classes() -> None:
    def build(seed: int, weights: str) -> FeatureNetwork:
        from bmix.models.backbones import build_classifier

        network = build_classifier("identity", "mlp", 3, "none", 0 if weights == "file" else seed, feature_count=5)
        assert isinstance(network, FeatureNetwork)
        return network

    network = build_members(2, 7, build, "file")
    assert isinstance(network, Ensemble)
    first, second = (member.state_dict() for member in network.members)
    assert {name for name in first if not torch.equal(first[name], second[name])} == {
        "head.linear.weight",
        "head.linear.bias",
    }
    assert isinstance(build_members(1, 7, build, "file"), FeatureNetwork)


def test_the_average_is_the_log_odds_of_the_mean_probability() -> None:
    logits = torch.tensor([[-3.0, 0.5, 200.0, -200.0, 200.0], [1.0, 0.5, 200.0, -200.0, -200.0]])
    found = average(logits)
    assert found.isfinite().all()
    for k in range(2):
        mean = sum(1 / (1 + math.exp(-float(logit))) for logit in logits[:, k]) / 2
        assert float(found[k]) == pytest.approx(math.log(mean / (1 - mean)), abs=1e-5)
    assert found[2:].tolist() == pytest.approx([200, -200, 0], rel=1e-3)
    assert torch.equal(average(logits[:1]), logits[0])


def test_an_unfitted_pass_changes_nothing() -> None:
    recipe = CoTeaching(torch.zeros(3, 2, dtype=torch.bool))
    recipe.end_epoch(EpochPass(torch.ones(3, 2), torch.ones(3, 2)), manage=True)
    assert recipe.clean_MN is None
