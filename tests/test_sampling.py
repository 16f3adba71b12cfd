from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.errors import InputError
from bmix.method.sampling import class_confidence, draw, instance_scores, sampling_probability


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


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    confidence_NK, given_NK = random_problem(1)
    whole = class_confidence(confidence_NK, given_NK)
    scores_N = instance_scores(given_NK, *whole)
    monkeypatch.setattr("bmix.method.sampling._ROWS_AT_ONCE", 7)
    for part, expected in zip(class_confidence(confidence_NK, given_NK), whole, strict=True):
        assert part.tolist() == pytest.approx(expected.tolist(), rel=1e-6)
    assert torch.equal(instance_scores(given_NK, *whole), scores_N)


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
