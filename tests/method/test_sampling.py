from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.method.sampling import (
    RareLabels,
    _look_up,
    class_confidence,
    draw,
    instance_scores,
    sampling_probability,
)
from bmix.support.errors import InputError


def random_problem(seed: int, images: int = 30, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    confidence_NK = torch.rand(images, classes, generator=generator)
    return confidence_NK, torch.rand(images, classes, generator=generator) < 0.4


def test_equations_2_to_4_against_a_loop() -> None:
    confidence_NK, given_NK = random_problem(0)
    f, y = confidence_NK.tolist(), given_NK.tolist()
    presence, absence = [], []
    for k in range(4):
        present = [f[n][k] for n in range(30) if y[n][k]]
        absent = [1 - f[n][k] for n in range(30) if not y[n][k]]
        presence.append(sum(present) / len(present))
        absence.append(sum(absent) / len(absent))
    scores = [sum(presence[k] if y[n][k] else absence[k] for k in range(4)) for n in range(30)]
    inverse_sum = sum(1 / score for score in scores)

    presence_K, absence_K = class_confidence(confidence_NK, given_NK)
    assert presence_K.tolist() == pytest.approx(presence, rel=1e-6)
    assert absence_K.tolist() == pytest.approx(absence, rel=1e-6)
    scores_N = instance_scores(given_NK, presence_K, absence_K)
    assert scores_N.tolist() == pytest.approx(scores, rel=1e-6)
    assert sampling_probability(scores_N).tolist() == pytest.approx([1 / s / inverse_sum for s in scores], rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(1, 40), share=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), seed=st.integers(0, 10_000),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
)  # fmt: skip
def test_equations_2_and_3_whichever_value_is_rarer(images: int, share: float, seed: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    confidence_NK = torch.rand(images, 5, generator=generator, dtype=torch.float64).to(dtype)
    given_NK = torch.rand(images, 5, generator=generator) < share
    presence, absence = [], []
    for k in range(5):
        column = list(zip(confidence_NK[:, k].tolist(), given_NK[:, k].tolist(), strict=True))
        present, absent = [f for f, y in column if y], [1 - f for f, y in column if not y]
        presence.append(math.fsum(present) / len(present) if present else 0.5)
        absence.append(math.fsum(absent) / len(absent) if absent else 0.5)
    scores = [sum(presence[k] if y[k] else absence[k] for k in range(5)) for y in given_NK.tolist()]

    exact = 1e-12 if dtype == torch.float64 else 1e-6
    for labels in (given_NK, given_NK.int(), RareLabels.of(given_NK)):
        presence_K, absence_K = class_confidence(confidence_NK, labels)
        assert presence_K.tolist() == pytest.approx(presence, rel=exact, abs=exact)
        assert absence_K.tolist() == pytest.approx(absence, rel=exact, abs=exact)
        scores_N = instance_scores(labels, presence_K, absence_K)
        assert (presence_K.dtype, absence_K.dtype, scores_N.dtype) == (torch.float64,) * 3
        assert scores_N.tolist() == pytest.approx(scores, rel=exact, abs=exact)


def test_many_rows_at_once_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    confidence_NK, given_NK = random_problem(1, images=700)
    whole = class_confidence(confidence_NK, given_NK)
    for rows in (1, 7, 701):
        monkeypatch.setattr("bmix.method.sampling._ROWS_AT_ONCE", rows)
        for part, expected in zip(class_confidence(confidence_NK, given_NK), whole, strict=True):
            assert part.tolist() == pytest.approx(expected.tolist(), rel=1e-6)


@pytest.mark.parametrize("rare", [False, True])
def test_one_label_among_very_many_is_not_lost_in_their_sum(rare: bool) -> None:
    confidence_NK = torch.rand(100_000, 1, generator=torch.Generator().manual_seed(0))
    given_NK = torch.full((100_000, 1), not rare)
    given_NK[70_000] = rare
    presence_K, absence_K = class_confidence(confidence_NK, given_NK)
    one, others = confidence_NK[70_000].double(), confidence_NK[given_NK != rare].double().mean()
    assert presence_K.item() == pytest.approx((one if rare else others).item(), rel=1e-8)
    assert absence_K.item() == pytest.approx((1 - (others if rare else one)).item(), rel=1e-8)


def test_rounding_leaves_no_absence_above_1_and_no_score_below_0() -> None:
    given_NK = torch.zeros(300, 20, dtype=torch.bool)
    given_NK[[0, 128]] = True
    for seed in range(20):
        confidence_NK = given_NK * torch.rand(300, 20, generator=torch.Generator().manual_seed(seed))
        _, absence_K = class_confidence(confidence_NK, given_NK)
        assert absence_K.tolist() == pytest.approx([1] * 20)
        assert (absence_K <= 1).all()
        absence_K = torch.rand(20, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        scores_N = instance_scores(given_NK, torch.zeros(20, dtype=torch.float64), absence_K)
        assert scores_N.tolist() == pytest.approx((~given_NK).sum(dim=1).mul(absence_K.mean()).tolist())
        assert (scores_N >= 0).all()


def test_a_class_without_a_label_of_a_value_gets_one_half() -> None:
    given_NK = torch.tensor([[1, 0], [1, 0]])
    presence_K, absence_K = class_confidence(torch.full((2, 2), 0.9), given_NK)
    assert presence_K.tolist() == pytest.approx([0.9, 0.5])
    assert absence_K.tolist() == pytest.approx([0.5, 0.1])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.floats(0, 20))
def test_probabilities_sum_to_one_and_fall_with_the_score(scores: list[float], sharpness: float) -> None:
    probability_N = sampling_probability(torch.tensor(scores, dtype=torch.float64), sharpness)
    assert probability_N.sum().item() == pytest.approx(1)
    assert (probability_N >= 0).all()
    by_score = torch.tensor(scores, dtype=torch.float64).argsort()
    assert (probability_N[by_score].diff() <= 1e-12).all()


def test_sharpness_is_an_exponent() -> None:
    scores_N = torch.tensor([1.0, 2.0, 4.0])
    assert sampling_probability(scores_N, 0).tolist() == pytest.approx([1 / 3] * 3)
    assert sampling_probability(scores_N, 2).tolist() == pytest.approx([16 / 21, 4 / 21, 1 / 21])


@pytest.mark.parametrize("score", [math.nan, math.inf, -1.0])
def test_unusable_scores_are_refused(score: float) -> None:
    with pytest.raises(InputError, match="score of the instance at index 1"):
        sampling_probability(torch.tensor([1.0, score]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_permuting_images_permutes_the_probabilities(seed: int) -> None:
    confidence_NK, given_NK = random_problem(seed)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(seed))

    def probability(confidence_NK: torch.Tensor, given_NK: torch.Tensor) -> torch.Tensor:
        return sampling_probability(instance_scores(given_NK, *class_confidence(confidence_NK, given_NK)))

    expected = probability(confidence_NK, given_NK)[order].tolist()
    assert probability(confidence_NK[order], given_NK[order]).tolist() == pytest.approx(expected, rel=1e-6)


def test_draws_follow_the_probabilities() -> None:
    probability_N = torch.tensor([0.0, 0.5, 0.0, 0.3, 0.2, 0.0])
    drawn = draw(probability_N, 50_000, torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.int64
    counts = torch.bincount(drawn, minlength=6)
    assert (counts[probability_N == 0] == 0).all()
    expected = 50_000 * probability_N[probability_N > 0]
    chi_square = ((counts[probability_N > 0] - expected) ** 2 / expected).sum().item()
    assert chi_square < 13.8  # the 99.9 % quantile at two degrees of freedom


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 300), size=st.integers(0, 300), skew=st.integers(0, 40), zeros=st.floats(0, 0.9),
    at_once=st.sampled_from([1, 7, 2**16]), seed=st.integers(0, 10_000),
)  # fmt: skip
def test_draws_are_those_of_a_search_one_by_one(
    count: int, size: int, skew: int, zeros: float, at_once: int, seed: int
) -> None:
    weights = torch.rand(2, count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    probability_N = torch.where(weights[0] < zeros, 0, weights[1] ** skew)
    probability_N[seed % count] = 1
    total, sums = 0.0, []
    for probability in probability_N.tolist():
        total += probability
        sums.append(total)
    uniform = torch.rand(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    expected = [next(i for i, above in enumerate(sums) if above / total > each) for each in uniform.tolist()]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bmix.method.sampling._DRAWS_AT_ONCE", at_once)
        assert draw(probability_N, size, torch.Generator().manual_seed(seed)).tolist() == expected


@pytest.mark.parametrize("count", [1, 40])
def test_a_number_at_a_boundary_draws_the_instance_above_it(count: int) -> None:
    # So many empty instances that the search goes beyond its first steps.
    cumulative = np.array([0.0] * count + [0.25] * count + [0.5] * count + [1.0] * count)
    drawn = _look_up(np.array([0.0, 0.25, 0.5, np.nextafter(0.5, 0), np.nextafter(1, 0)]), cumulative)
    assert drawn.tolist() == [count, 2 * count, 3 * count, 2 * count, 3 * count]


@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1e300])
def test_probabilities_of_any_positive_sum(scale: float) -> None:
    probability_N = torch.tensor([0.0, 1.0, 0.0, 3.0], dtype=torch.float64) * scale
    counts = torch.bincount(draw(probability_N, 4000, torch.Generator().manual_seed(0)), minlength=4)
    assert counts[[0, 2]].tolist() == [0, 0]
    assert counts[1].item() / 4000 == pytest.approx(0.25, abs=0.03)


@pytest.mark.slow
def test_more_instances_than_float32_can_count() -> None:
    count = 2**24 + 10
    probability_N = torch.zeros(count)
    probability_N[-3:] = torch.tensor([1.0, 0.0, 3.0])
    drawn = draw(probability_N, 1000, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == {count - 3, count - 1}


def test_the_generator_decides_the_draws() -> None:
    probability_N = torch.full((100,), 0.01)
    first, second = (draw(probability_N, 50, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, draw(probability_N, 50, torch.Generator().manual_seed(4)))


@pytest.mark.parametrize("probability", [[], [0.0, 0.0], [0.5, -0.1], [math.nan, 1.0], [math.inf, 1.0]])
def test_unusable_probabilities_are_refused(probability: list[float]) -> None:
    with pytest.raises(InputError, match="sampling probabilities"):
        draw(torch.tensor(probability), 3, torch.Generator())


def pieces() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    confidence_NK, given_NK = random_problem(2)
    presence_K, absence_K = class_confidence(confidence_NK, given_NK)
    return confidence_NK, given_NK, presence_K, absence_K, instance_scores(given_NK, presence_K, absence_K)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gradients", [False, True])
def test_arguments_stay_as_they_are_and_no_gradient_flows(dtype: torch.dtype, gradients: bool) -> None:
    confidence_NK, given_NK, presence_K, absence_K, scores_N = (each.to(dtype) for each in pieces())
    probability_N = torch.full((30,), 1 / 30, dtype=dtype)
    calls: list[tuple[Callable[..., Any], list[torch.Tensor]]] = [
        (lambda *passed: RareLabels.of(*passed).index, [given_NK]),
        (class_confidence, [confidence_NK, given_NK]),
        (instance_scores, [given_NK, presence_K, absence_K]),
        (sampling_probability, [scores_N]),
        (lambda probability: draw(probability, 5, torch.Generator().manual_seed(0)), [probability_N]),
    ]
    for act, arguments in calls:
        passed = [each.clone().requires_grad_(gradients) for each in arguments]
        results = act(*passed)
        for result in results if isinstance(results, tuple) else (results,):
            assert not result.requires_grad
        for before, after in zip(arguments, passed, strict=True):
            assert torch.equal(before, after.detach())
        for found, expected in zip(results, act(*arguments), strict=True):
            assert torch.equal(found, expected)


def test_confidences_and_labels_of_different_shapes_are_refused() -> None:
    confidence_NK, given_NK, presence_K, absence_K, _ = pieces()
    for wrong_NK in (confidence_NK[:20], confidence_NK[:, :2], confidence_NK[0]):
        with pytest.raises(InputError, match=r"confidence: shape .* beside given labels of shape \(30, 4\)"):
            class_confidence(wrong_NK, given_NK)
    with pytest.raises(InputError, match=r"absence: shape \(3,\) beside classes of shape \(4,\)"):
        instance_scores(given_NK, presence_K, absence_K[:3])
    with pytest.raises(InputError, match=r"given labels: shape \(30,\)"):
        RareLabels.of(given_NK[:, 0])


@pytest.mark.parametrize("wrong", [math.nan, -0.01, 1.01, math.inf])
def test_confidences_outside_0_to_1_are_refused(wrong: float) -> None:
    confidence_NK, given_NK, presence_K, absence_K, _ = pieces()
    rare = RareLabels.of(given_NK)
    row, k = int(rare.rows[3]), int(rare.classes[3])
    confidence_NK[row, k] = presence_K[1] = wrong
    with pytest.raises(InputError, match=rf"confidence at index \({row}, {k}\): "):
        class_confidence(confidence_NK, given_NK)
    with pytest.raises(InputError, match=r"presence at index \(1,\): "):
        instance_scores(given_NK, presence_K, absence_K)


@pytest.mark.parametrize("present", [False, True])
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_confidence_that_is_not_finite_is_refused_wherever_it_stands(wrong: float, present: bool) -> None:
    confidence_NK, given_NK, *_ = pieces()
    row = int((given_NK[:, 3] == present).nonzero()[0])
    confidence_NK[row, 3] = wrong
    with pytest.raises(InputError, match=rf"confidence at index \({row}, 3\): "):
        class_confidence(confidence_NK, given_NK)


def test_logits_in_place_of_confidences_are_refused() -> None:
    confidence_NK, given_NK, *_ = pieces()
    with pytest.raises(InputError, match=r"confidence at index .*\n.*from 0 to 1\n.*not logits"):
        class_confidence(torch.where(given_NK, confidence_NK, -3), given_NK)


def test_given_labels_other_than_0_and_1_are_refused() -> None:
    labels_NK = pieces()[1].int()
    labels_NK[4, 3] = -1
    with pytest.raises(InputError, match=r"given label at index \(4, 3\): -1"):
        RareLabels.of(labels_NK)


@pytest.mark.parametrize("sharpness", [math.nan, math.inf, -0.5, 1000.1, 1e308])
def test_a_sharpness_out_of_range_is_refused(sharpness: float) -> None:
    with pytest.raises(InputError, match=r"method\.sharpness: .*\n.*from 0 to 1000"):
        sampling_probability(torch.tensor([0.0, 1.0]), sharpness)


def test_the_largest_sharpness_leaves_numbers() -> None:
    assert sampling_probability(torch.tensor([0.0, 1.0, 1e6]), 1000).tolist() == [1, 0, 0]
