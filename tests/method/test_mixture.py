from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from bmix.method.loss_histogram import LossHistogram
from bmix.method.mixture import LossMixtures, fit_histogram, fit_loss_mixtures
from bmix.method.mixture_fit import ADDED_VARIANCE
from bmix.support.errors import InputError


def loss_shapes(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    few = max(2, count // 5)
    columns = [
        np.concatenate([rng.lognormal(-4, 1, count - few), rng.lognormal(0.5, 0.5, few)]),
        rng.lognormal(-2, 1, count),
        rng.lognormal(-5, 2, count),
        rng.exponential(0.3, count),
        np.abs(rng.standard_t(2, count)) * 0.1,
        np.concatenate([rng.normal(0.693, 0.002, count - few), rng.uniform(0, 3, few)]),
        np.concatenate([np.zeros(count - few), rng.exponential(1, few)]),
        -np.log(np.clip(np.where(rng.random(count) < 0.4, rng.beta(1, 4, count), rng.beta(6, 1, count)), 1e-7, 1)),
        np.concatenate([rng.exponential(0.01, count - 1), [8.0]]),
        np.concatenate([rng.normal(1, 0.3, count - few), rng.normal(1.8, 0.3, few)]),
    ]
    return np.stack(columns, axis=1).clip(0).astype(np.float32)


def log_densities(loss: float, means: list[float], variances: list[float], weights: list[float]) -> list[float]:
    return [
        math.log(max(weight, 1e-300)) - 0.5 * math.log(2 * math.pi * variance) - (loss - mean) ** 2 / (2 * variance)
        for mean, variance, weight in zip(means, variances, weights, strict=True)
    ]


def mean_likelihood(losses: np.ndarray, mixtures: LossMixtures, value: int, label: int) -> float:
    means, variances, weights = (
        each[value, label].tolist() for each in (mixtures.means, mixtures.variances, mixtures.weights)
    )
    densities = [np.logaddexp(*log_densities(loss, means, variances, weights)) for loss in losses.tolist()]
    return float(np.mean(densities))


def random_problem(images: int = 400, classes: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    given_NK = torch.rand(images, classes, generator=generator) < torch.linspace(0.5, 0.1, classes)
    wide_NK = torch.rand(images, classes, generator=generator) < 0.3
    normal_NK = torch.randn(images, classes, generator=generator)
    return torch.where(wide_NK, 1 + normal_NK / 3, normal_NK - 4).exp(), given_NK


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("count", "seed"), [(12, 1), (40, 2), (300, 3), (4000, 4)])
def test_fits_of_these_losses_are_as_likely_as_the_converged_ones_of_scikit_learn(count: int, seed: int) -> None:
    losses_NK = loss_shapes(count, seed)
    given_NK = torch.arange(losses_NK.shape[1]).remainder(2).bool().expand(count, -1)
    mixtures = fit_loss_mixtures(torch.from_numpy(losses_NK), given_NK)
    assert not mixtures.degenerate[given_NK[0].long(), torch.arange(len(given_NK[0]))].any()
    for label in range(losses_NK.shape[1]):
        oracle = GaussianMixture(2, tol=1e-6, max_iter=3000, reg_covar=1e-6, random_state=0)
        column = losses_NK[:, label].astype(np.float64)
        likelihood = mean_likelihood(column, mixtures, label % 2, label)
        assert likelihood >= oracle.fit(column[:, None]).score(column[:, None]) - 1e-4, label


def test_well_separated_components_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    losses = np.concatenate([rng.normal(0.3, 0.05, 700), rng.normal(2, 0.4, 300)]).astype(np.float32)[:, None]
    mixtures = fit_loss_mixtures(torch.from_numpy(losses), torch.ones(1000, 1))
    oracle = GaussianMixture(2, tol=1e-10, max_iter=3000, random_state=0).fit(losses.astype(np.float64))
    order = oracle.means_[:, 0].argsort()
    assert mixtures.means[1, 0].numpy() == pytest.approx(oracle.means_[order, 0], rel=1e-3)
    assert mixtures.variances[1, 0].numpy() == pytest.approx(oracle.covariances_[order, 0, 0], rel=1e-2)
    assert mixtures.weights[1, 0].numpy() == pytest.approx(oracle.weights_[order], rel=1e-3)
    p_clean = mixtures.clean_probability(torch.from_numpy(losses), torch.ones(1000, 1))
    expected = oracle.predict_proba(losses.astype(np.float64))[:, order[0]]
    assert p_clean[:, 0].numpy() == pytest.approx(expected, abs=5e-3)


def test_clean_probability_is_the_posterior_of_the_smaller_mean() -> None:
    losses_NK, given_NK = random_problem()
    mixtures = fit_loss_mixtures(losses_NK, given_NK)
    p_clean_NK = mixtures.clean_probability(losses_NK, given_NK)
    assert p_clean_NK.dtype == torch.float32
    assert (mixtures.means[..., 0] <= mixtures.means[..., 1]).all()
    for image in range(0, 400, 7):
        for label in range(5):
            at = (int(given_NK[image, label]), label)
            parameters = [each[at].tolist() for each in (mixtures.means, mixtures.variances, mixtures.weights)]
            first, second = log_densities(losses_NK[image, label].item(), *parameters)
            assert p_clean_NK[image, label].item() == pytest.approx(
                1 / (1 + math.exp(min(second - first, 700))), abs=1e-6
            )


def test_log_odds_are_those_of_the_probability_and_do_not_saturate() -> None:
    losses_NK, given_NK = random_problem()
    mixtures = fit_loss_mixtures(losses_NK, given_NK)
    image_M, class_M = given_NK.bool().nonzero().unbind(1)
    odds_M = mixtures.clean_log_odds(losses_NK[image_M, class_M], given_NK[image_M, class_M], class_M)
    for row in range(0, len(image_M), 5):
        at = (1, int(class_M[row]))
        parameters = [each[at].tolist() for each in (mixtures.means, mixtures.variances, mixtures.weights)]
        first, second = log_densities(losses_NK[image_M[row], class_M[row]].item(), *parameters)
        assert odds_M[row].item() == pytest.approx(first - second, rel=1e-9, abs=1e-9)
    probability_M = mixtures.clean_probability(losses_NK, given_NK)[image_M, class_M]
    torch.testing.assert_close(odds_M.sigmoid().float(), probability_M)
    far = mixtures.clean_log_odds(torch.tensor([50.0, 51.0]), torch.ones(2), torch.zeros(2, dtype=torch.int64))
    assert torch.isfinite(far).all()
    assert far[0] != far[1]


def test_clean_probability_holds_in_the_tails() -> None:
    one = torch.ones(2, 1, 2, dtype=torch.float64)
    mixtures = LossMixtures(
        means=one * torch.tensor([0.1, 1.0]),
        variances=one * 1e-6,
        weights=one / 2,
        degenerate=torch.zeros(2, 1, dtype=torch.bool),
        counts=torch.full((2, 1), 50),
    )
    losses = torch.tensor([[0.0], [0.54], [0.56], [100.0], [1e4]])
    assert mixtures.clean_probability(losses, torch.zeros(5, 1)).squeeze(1).tolist() == [1, 1, 0, 0, 0]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_permuting_images_changes_nothing_and_permuting_classes_permutes(seed: int) -> None:
    losses_NK, given_NK = random_problem(images=120, classes=4, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    images, classes = torch.randperm(120, generator=generator), torch.randperm(4, generator=generator)
    fitted = fit_loss_mixtures(losses_NK, given_NK).state()
    shuffled = fit_loss_mixtures(losses_NK[images], given_NK[images]).state()
    moved = fit_loss_mixtures(losses_NK[:, classes], given_NK[:, classes]).state()
    for name, tensor in fitted.items():
        assert torch.equal(tensor, shuffled[name]), name
        assert torch.equal(tensor[:, classes], moved[name]), name


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 100, width=32), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_groups_keep_count_mean_and_variance(values: list[float], seed: int) -> None:
    losses_N1 = torch.tensor(values).unsqueeze(1)
    given_N1 = torch.rand(len(values), 1, generator=torch.Generator().manual_seed(seed)) < 0.5
    histogram = LossHistogram(1)
    histogram.add(losses_N1, given_N1)
    groups = histogram.groups()
    assert (groups.mean.diff(dim=1)[groups.count[:, 1:] > 0] > 0).all()
    for value in (0, 1):
        chosen = losses_N1[given_N1 == bool(value)].double()
        count = groups.count[value]
        assert count.sum() == len(chosen)
        if len(chosen):
            mean = (count * groups.mean[value]).sum() / count.sum()
            square = (count * (groups.variance[value] + (groups.mean[value] - mean) ** 2)).sum() / count.sum()
            assert mean.item() == pytest.approx(chosen.mean().item(), rel=1e-5, abs=1e-7)
            assert square.item() == pytest.approx(chosen.var(correction=0).item(), rel=1e-3, abs=1e-7)


def test_labels_are_counted_across_chunks_of_rows_and_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    losses_NK, given_NK = random_problem()
    whole = fit_loss_mixtures(losses_NK, given_NK).state()
    monkeypatch.setattr("bmix.method.loss_histogram._LABELS_AT_ONCE", 64)
    for name, tensor in fit_loss_mixtures(losses_NK, given_NK).state().items():
        assert torch.equal(tensor, whole[name]), name


def test_few_labels_and_labels_without_spread_are_clean_and_flagged() -> None:
    losses_NK, given_NK = random_problem(images=60, classes=4)
    given_NK[:, 0] = torch.arange(60) < 9
    given_NK[:, 1] = torch.arange(60) < 10
    losses_NK[:, 2] = 0.25
    given_NK[:, 3] = False
    mixtures = fit_loss_mixtures(losses_NK, given_NK)
    assert mixtures.degenerate.tolist() == [[False, False, True, False], [True, False, True, True]]
    assert mixtures.counts.tolist() == [given_NK.logical_not().sum(0).tolist(), given_NK.sum(0).tolist()]
    p_clean_NK = mixtures.clean_probability(losses_NK, given_NK)
    assert (p_clean_NK[:9, 0] == 1).all()
    assert (p_clean_NK[:, 2] == 1).all()
    assert mixtures.means[0, 2].tolist() == pytest.approx([0.25, 0.25], rel=1e-5)
    assert mixtures.means[1, 3].tolist() == [0, 0]
    assert mixtures.weights[1, 3].tolist() == [1, 0]
    assert all(torch.isfinite(tensor).all() for tensor in mixtures.state().values())


@pytest.mark.parametrize("value", [0.0, -0.0, 0.6931472, 100.0])
def test_equal_losses_are_degenerate(value: float) -> None:
    mixtures = fit_loss_mixtures(torch.full((30, 2), value), torch.arange(30)[:, None].expand(30, 2) < 15)
    assert mixtures.degenerate.all()
    assert mixtures.means.numpy() == pytest.approx(value, rel=1e-5, abs=1e-7)


def test_no_images_give_degenerate_mixtures() -> None:
    mixtures = fit_loss_mixtures(torch.empty(0, 3), torch.empty(0, 3, dtype=torch.bool))
    assert mixtures.degenerate.all()
    assert mixtures.clean_probability(torch.empty(0, 3), torch.empty(0, 3)).shape == (0, 3)


def test_given_labels_of_any_type_count_alike() -> None:
    losses_NK, given_NK = random_problem(images=80, classes=2)
    expected = fit_loss_mixtures(losses_NK, given_NK).means
    for dtype in (torch.float32, torch.int64, torch.uint8):
        assert torch.equal(fit_loss_mixtures(losses_NK, given_NK.to(dtype)).means, expected)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.5])
def test_an_unusable_loss_is_refused_with_class_and_image(value: float) -> None:
    losses_NK, given_NK = random_problem(images=20, classes=3)
    losses_NK[7, 2] = value
    with pytest.raises(InputError, match=r"loss of image cat-7\.png, class chair: (nan|inf|-0\.5)\n"):
        fit_loss_mixtures(
            losses_NK, given_NK, image_ids=[f"cat-{i}.png" for i in range(20)], class_names=["cat", "dog", "chair"]
        )
    with pytest.raises(InputError, match="loss of image at index 7, class at index 2"):
        fit_loss_mixtures(losses_NK, given_NK)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(4, 3\) beside given labels of shape \(4, 2\)"):
        fit_loss_mixtures(torch.ones(4, 3), torch.ones(4, 2))


def test_state_goes_there_and_back() -> None:
    losses_NK, given_NK = random_problem(images=80, classes=2)
    mixtures = fit_loss_mixtures(losses_NK, given_NK)
    again = LossMixtures.from_state(mixtures.state()).to("cpu")
    assert torch.equal(again.clean_probability(losses_NK, given_NK), mixtures.clean_probability(losses_NK, given_NK))


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 150), max_size=5))
def test_batches_of_any_order_and_size_give_the_fit_of_the_whole(seed: int, cuts: list[int]) -> None:
    losses_NK, given_NK = random_problem(images=150, classes=3, seed=seed)
    # The largest loss comes last in one order and first in the other: the histogram has to grow, or begins large.
    losses_NK[-1, 1] = 90
    bounds = [0, *sorted(cuts), 150]
    batches = [(losses_NK[a:b], given_NK[a:b]) for a, b in pairwise(bounds)]
    whole = fit_loss_mixtures(losses_NK, given_NK)
    for order in (batches, batches[::-1]):
        histogram = LossHistogram(3)
        for losses_BK, given_BK in order:
            histogram.add(losses_BK, given_BK)
        for name, tensor in fit_histogram(histogram).state().items():
            assert torch.equal(tensor, whole.state()[name]), name


def test_each_variance_is_that_of_its_posteriors_and_1e_6_more() -> None:
    losses_NK, given_NK = random_problem(images=3000, classes=2)
    # Narrow enough that the added variance shows.
    losses_NK = torch.where(losses_NK < 0.2, losses_NK * 0.01, losses_NK)
    mixtures = fit_loss_mixtures(losses_NK, given_NK)
    p_clean_NK = mixtures.clean_probability(losses_NK, given_NK)
    assert mixtures.variances[..., 0].max() < 20 * ADDED_VARIANCE
    for value in (0, 1):
        for k in range(2):
            chosen = given_NK[:, k] == bool(value)
            losses, posterior = losses_NK[chosen, k].double(), p_clean_NK[chosen, k].double()
            for component, share in enumerate((posterior, 1 - posterior)):
                mean = (share * losses).sum() / share.sum()
                variance = (share * (losses - mean) ** 2).sum() / share.sum() + ADDED_VARIANCE
                assert mixtures.weights[value, k, component].item() == pytest.approx(share.mean().item(), abs=1e-3)
                assert mixtures.means[value, k, component].item() == pytest.approx(mean.item(), rel=2e-3)
                assert mixtures.variances[value, k, component].item() == pytest.approx(variance.item(), rel=5e-3)


def test_hardly_a_label_changes_sides_beside_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(3)
    given_NK = torch.rand(6000, 2, generator=generator) < 0.1
    logits_NK = torch.randn(6000, 2, generator=generator) * 1.5 + torch.where(given_NK, 1.0, -5.0)
    logits_NK[:600] *= -1
    losses_NK = torch.nn.functional.softplus(torch.where(given_NK, -logits_NK, logits_NK))
    p_clean_NK = fit_loss_mixtures(losses_NK, given_NK).clean_probability(losses_NK, given_NK)
    across = 0
    for k in range(2):
        for value in (False, True):
            column = losses_NK[given_NK[:, k] == value, k].double().numpy()[:, None]
            oracle = GaussianMixture(2, tol=1e-8, max_iter=5000, reg_covar=1e-6, random_state=0).fit(column)
            clean = oracle.predict_proba(column)[:, oracle.means_[:, 0].argmin()] > 0.5
            across += (clean != (p_clean_NK[given_NK[:, k] == value, k].numpy() > 0.5)).sum()
    assert across <= 5e-4 * losses_NK.numel()


def test_a_batch_that_is_refused_leaves_the_histogram_as_it_was() -> None:
    losses_NK, given_NK = random_problem(images=80, classes=2)
    histogram = LossHistogram(2)
    histogram.add(losses_NK, given_NK)
    spoilt_NK = losses_NK.clone()
    spoilt_NK[79, 1] = math.nan
    with pytest.raises(InputError, match="loss of image at index 79, class dog: nan"):
        histogram.add(spoilt_NK, given_NK, class_names=["cat", "dog"])
    assert torch.equal(fit_histogram(histogram).means, fit_loss_mixtures(losses_NK, given_NK).means)


def test_a_batch_of_other_classes_is_refused() -> None:
    with pytest.raises(InputError, match=r"losses: 3 classes\n.*2 classes"):
        LossHistogram(2).add(torch.ones(4, 3), torch.ones(4, 3))


def test_more_images_than_a_bin_can_count_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bmix.method.loss_histogram._MAX_IMAGES", 10)
    histogram = LossHistogram(1)
    histogram.add(torch.ones(6, 1), torch.ones(6, 1))
    with pytest.raises(InputError, match="losses: 11 images"):
        histogram.add(torch.ones(5, 1), torch.ones(5, 1))


def test_an_empty_histogram_gives_degenerate_mixtures() -> None:
    mixtures = fit_histogram(LossHistogram(3))
    assert mixtures.degenerate.all()
    assert mixtures.means.shape == (2, 3, 2)


FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", FLOATS)
def test_losses_of_any_float_type_fit_alike_and_stay_as_they_are(dtype: torch.dtype) -> None:
    losses_NK, given_NK = random_problem()
    rounded_NK = losses_NK.to(dtype)
    passed_NK, wide_NK = rounded_NK.clone(), rounded_NK.float()
    mixtures, expected = fit_loss_mixtures(passed_NK, given_NK), fit_loss_mixtures(wide_NK, given_NK)
    for name, tensor in mixtures.state().items():
        assert torch.equal(tensor, expected.state()[name]), name
    p_clean_NK = mixtures.clean_probability(passed_NK, given_NK)
    assert p_clean_NK.dtype == torch.float32
    assert torch.allclose(p_clean_NK, expected.clean_probability(wide_NK, given_NK), atol=1e-6)
    assert torch.equal(passed_NK, rounded_NK)


def test_losses_that_want_gradients_are_fitted_as_numbers() -> None:
    losses_NK, given_NK = random_problem(images=80, classes=2)
    wanting_NK, given_too_NK = losses_NK.clone().requires_grad_(), given_NK.float().requires_grad_()
    mixtures = fit_loss_mixtures(wanting_NK, given_too_NK)
    assert torch.equal(mixtures.means, fit_loss_mixtures(losses_NK, given_NK).means)
    p_clean_NK = mixtures.clean_probability(wanting_NK, given_too_NK)
    assert not p_clean_NK.requires_grad
    assert torch.equal(p_clean_NK, mixtures.clean_probability(losses_NK, given_NK))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "largest"),
    [
        # Each plus 2^-10 reaches a power of two if added in its own type, and does not if made float32 before.
        (torch.float64, 65536 - 2.5 * 2**-10),
        (torch.bfloat16, 0.5 - 2**-9),
        (torch.float16, 4 - 2**-8 - 2**-9),
    ],
)
def test_a_largest_loss_just_below_a_power_of_two_is_counted_in_its_class(dtype: torch.dtype, largest: float) -> None:
    losses_NK = torch.rand(60, 2, generator=torch.Generator().manual_seed(0)).mul(largest).to(dtype)
    losses_NK[:20] = largest
    given_NK = torch.arange(60)[:, None].expand(60, 2) % 2 == 0
    mixtures = fit_loss_mixtures(losses_NK, given_NK)
    assert mixtures.counts.tolist() == [[30, 30], [30, 30]]
    total = (mixtures.weights * mixtures.means).sum(dim=-1)
    assert total[1].tolist() == pytest.approx(losses_NK[::2].double().mean(dim=0).tolist(), rel=1e-4)
    assert total[0].tolist() == pytest.approx(losses_NK[1::2].double().mean(dim=0).tolist(), rel=1e-4)


def test_a_loss_beyond_float32_is_refused() -> None:
    losses_NK, given_NK = random_problem(images=80, classes=2)
    mixtures = fit_loss_mixtures(losses_NK, given_NK)
    losses_NK = losses_NK.double()
    losses_NK[3, 1] = 1e39
    for act in (fit_loss_mixtures, mixtures.clean_probability):
        with pytest.raises(InputError, match=r"index 3, class at index 1: 1e\+39\n.*range of float32"):
            act(losses_NK, given_NK)


@pytest.mark.parametrize("wrong", [torch.tensor(-1), torch.tensor(2), torch.tensor(0.5), torch.tensor(math.nan)])
def test_given_labels_other_than_0_and_1_are_refused(wrong: torch.Tensor) -> None:
    losses_NK, given_NK = random_problem(images=80, classes=2)
    mixtures = fit_loss_mixtures(losses_NK, given_NK)
    labels_NK = given_NK.to(wrong.dtype)
    labels_NK[5, 1] = wrong
    for act in (fit_loss_mixtures, mixtures.clean_probability):
        with pytest.raises(InputError, match=r"given label at index \(5, 1\): "):
            act(losses_NK, labels_NK)


def test_losses_of_other_classes_than_the_mixtures_are_refused() -> None:
    losses_NK, given_NK = random_problem(images=80, classes=3)
    mixtures = fit_loss_mixtures(losses_NK, given_NK)
    with pytest.raises(InputError, match=r"losses: 1 classes\n.*3 classes"):
        mixtures.clean_probability(losses_NK[:, :1], given_NK[:, :1])
    with pytest.raises(InputError, match=r"shape \(80, 3\) beside given labels of shape \(40, 3\)"):
        mixtures.clean_probability(losses_NK, given_NK[:40])
