from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

import bmix
from bmix.method.refine import CLEAN, refine_labels
from bmix.method.sampling import class_confidence, instance_scores, sampling_probability
from bmix.recipes.balancemix import BalanceMix
from bmix.recipes.shared.base import EpochPass, Side, Step
from bmix.support.errors import InputError

IMAGES, CLASSES, PIXELS = 200, 3, 5


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def given() -> Tensor:
    return (torch.rand(IMAGES, CLASSES, generator=generator(1)) < torch.tensor([0.6, 0.4, 0.1])).float()


@pytest.fixture
def logits(given: Tensor) -> Tensor:
    """Of a model that is right about most labels, and sure that every tenth image shows the opposite."""
    noise = 0.5 * torch.randn(given.shape, generator=generator(2))
    right = 4 * (2 * given - 1) + noise
    return torch.where(torch.arange(IMAGES)[:, None] % 10 == 0, -right, right)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(PIXELS, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, CLASSES))


def test_the_sampler_is_uniform_at_first_and_then_draws_by_equation_4(given: Tensor, logits: Tensor) -> None:
    sampler = bmix.MinoritySampler(given, generator())
    assert torch.equal(sampler.probability, torch.full((IMAGES,), 1 / IMAGES, dtype=torch.float64))
    assert len(sampler) == len(list(sampler)) == IMAGES
    assert list(sampler) != list(sampler)
    sampler.update(logits)
    presence, absence = class_confidence(logits.sigmoid(), given)
    assert torch.equal(sampler.probability, sampling_probability(instance_scores(given, presence, absence)))
    drawn = torch.tensor([row for _ in range(50) for row in sampler])
    counts = torch.bincount(drawn, minlength=IMAGES) / len(drawn)
    rare = given[:, 2] == 1
    assert counts[rare].mean() == pytest.approx(sampler.probability[rare].mean().item(), rel=0.1)
    flat = bmix.MinoritySampler(given, generator(), sharpness=0.0)
    flat.update(logits)
    assert torch.allclose(flat.probability, torch.full((IMAGES,), 1 / IMAGES, dtype=torch.float64))


def test_a_data_loader_takes_the_sampler(given: Tensor) -> None:
    sampler = bmix.MinoritySampler(given, generator())
    data = torch.utils.data.TensorDataset(torch.arange(IMAGES))
    loader = torch.utils.data.DataLoader(data, 16, sampler=sampler, drop_last=True)
    drawn = [rows for (rows,) in loader]
    assert len(drawn) == len(loader) == IMAGES // 16
    expected = list(bmix.MinoritySampler(given, generator()))
    assert torch.cat(drawn).tolist() == expected[: len(loader) * 16]


def test_labels_count_as_given_until_the_first_update(given: Tensor) -> None:
    def asked(_: Tensor) -> Tensor:
        raise AssertionError("no label is doubtful")

    labels = bmix.ManagedLabels(given)
    rows = torch.arange(8)
    refined, verdict, weight = labels.refine(rows, asked, [torch.zeros(8, PIXELS)] * 2)
    assert torch.equal(refined, given[:8])
    assert (verdict == CLEAN).all()
    assert (weight == 1).all()
    assert labels.mixtures is None


@pytest.mark.parametrize("trust", [False, True])
def test_labels_are_refined_by_two_views_of_the_doubtful_images(
    given: Tensor, logits: Tensor, network: nn.Module, trust: bool
) -> None:
    labels = bmix.ManagedLabels(given, epsilon=0.6, trust_positives=trust)
    labels.update(logits)
    doubtful = labels.doubtful
    assert doubtful[::10].float().mean() > (0.4 if trust else 0.9)
    assert not (doubtful & given.bool()).any() or not trust
    rows = torch.tensor([20, 3, 0, 7])
    views = [torch.randn(4, PIXELS, generator=generator(seed)) for seed in (3, 4)]
    network.train()
    network[2].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    refined = labels.refine(rows, network, views)
    assert network.training
    assert not network[2].training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network.eval()
    confidence = ((network(views[0]).sigmoid() + network(views[1]).sigmoid()) / 2).detach()
    expected = refine_labels(given[rows], labels.p_clean[rows], confidence, 0.6, trust_positives=trust)
    for found, wanted in zip(refined, expected, strict=True):
        assert torch.allclose(found.float(), wanted.float())
    assert not torch.equal(refined[0], given[rows])


def test_they_do_what_the_recipe_does(given: Tensor, logits: Tensor, network: nn.Module) -> None:
    recipe = BalanceMix(given.bool())
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, given, reduction="none")
    recipe.end_epoch(EpochPass(losses, logits.sigmoid()), manage=True)
    sampler, labels = bmix.MinoritySampler(given, generator()), bmix.ManagedLabels(given)
    sampler.update(logits)
    labels.update(logits)
    assert torch.equal(sampler.probability, recipe.probability_N)
    assert torch.equal(labels.p_clean, recipe.p_clean_NK)
    assert torch.equal(labels.doubtful.any(dim=1), recipe.doubtful_rows())

    rows, partner_rows = torch.arange(16), torch.arange(100, 116)
    sides = [torch.randn(2, 16, PIXELS, generator=generator(seed)) for seed in (3, 4)]
    refined = [labels.refine(each, network, views) for each, views in zip((rows, partner_rows), sides, strict=True)]
    share = bmix.mixing_coefficient(4.0, 16, generator())
    mixed = bmix.mix(sides[0][0], sides[1][0], share)
    targets = bmix.mix(refined[0][0], refined[1][0], share)
    loss = bmix.balancemix_loss(network.eval()(mixed), targets, refined[0][2])

    def asked(each: Tensor, views: Tensor) -> Tensor:
        confidence = torch.full((16, CLASSES), 0.5)
        doubtful = recipe.doubtful_rows()[each]
        confidence[doubtful] = torch.stack([network(view[doubtful]).sigmoid() for view in views]).mean(dim=0).detach()
        return confidence

    both = [Side(each, views[0], asked(each, views)) for each, views in zip((rows, partner_rows), sides, strict=True)]
    assert torch.equal(loss, recipe.step(network, Step(*both, share)).loss)


def test_what_is_refused(given: Tensor, logits: Tensor) -> None:
    with pytest.raises(InputError, match=r"given label at index \(0, 0\): 2\.0"):
        bmix.MinoritySampler(torch.full((4, 2), 2.0), generator())
    with pytest.raises(InputError, match=r"shape \(200, 2\)"):
        bmix.ManagedLabels(given).update(logits[:, :2])
    logits[5, 1] = torch.nan
    for judge in (bmix.MinoritySampler(given, generator()), bmix.ManagedLabels(given)):
        with pytest.raises(InputError, match="nan"):
            judge.update(logits)
    with pytest.raises(AttributeError, match="module 'bmix' has no attribute 'balancemix'"):
        bmix.balancemix  # noqa: B018


@pytest.mark.slow
def test_importing_bmix_waits_for_no_torch() -> None:
    code = "import sys, bmix; assert 'torch' not in sys.modules; bmix.mix; assert 'torch' in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
