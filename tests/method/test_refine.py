from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.method.refine import AMBIGUOUS, CLEAN, RELABELLED, refine_labels
from bmix.support.errors import InputError


def by_the_paper(
    given: bool, p_clean: float, confidence: float, epsilon: float, trust: bool, relabel: bool, ambiguous: bool
) -> tuple[float, int, float]:
    if p_clean > 0.5 or (trust and given):
        return float(given), CLEAN, 1.0
    if relabel and confidence > epsilon:
        return 1.0, RELABELLED, 1.0
    if relabel and confidence < 1 - epsilon:
        return 0.0, RELABELLED, 1.0
    return float(given), AMBIGUOUS, p_clean if ambiguous else 0.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 1), st.booleans(), st.booleans(), st.booleans())
def test_verdicts_partition_the_labels_as_the_paper_says(
    seed: int, epsilon: float, trust: bool, relabel: bool, ambiguous: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    given = torch.rand(6, 5, generator=generator) < 0.5
    p_clean, confidence = torch.rand(2, 6, 5, generator=generator)
    switches = {"relabel": relabel, "ambiguous": ambiguous}
    labels, verdict, weight = refine_labels(given, p_clean, confidence, epsilon, trust, **switches)
    assert (labels.dtype, verdict.dtype, weight.dtype) == (torch.float32, torch.uint8, torch.float32)
    for image in range(6):
        for label in range(5):
            at = (image, label)
            values = (bool(given[at]), p_clean[at].item(), confidence[at].item())
            expected = by_the_paper(*values, epsilon, trust, relabel, ambiguous)
            assert (labels[at].item(), verdict[at].item(), weight[at].item()) == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_permuting_images_and_classes_permutes_the_verdicts(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    given = torch.rand(6, 5, generator=generator) < 0.5
    p_clean, confidence = torch.rand(2, 6, 5, generator=generator)
    rows, columns = torch.randperm(6, generator=generator), torch.randperm(5, generator=generator)
    whole = refine_labels(given, p_clean, confidence, 0.7)
    moved = refine_labels(*(each[rows][:, columns] for each in (given, p_clean, confidence)), 0.7)
    for before, after in zip(whole, moved, strict=True):
        assert torch.equal(before[rows][:, columns], after)


def test_boundaries_are_strict() -> None:
    labels, verdict, weight = refine_labels(
        torch.tensor([1, 1, 0]), torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.75, 0.25, 0.76]), 0.75
    )
    assert verdict.tolist() == [AMBIGUOUS, AMBIGUOUS, RELABELLED]
    assert labels.tolist() == [1, 1, 1]
    assert weight.tolist() == [0.5, 0.5, 1]


def test_a_label_that_the_model_vouches_for_counts_as_relabelled() -> None:
    _, verdict, weight = refine_labels(torch.tensor([1.0]), torch.tensor([0.1]), torch.tensor([0.99]), 0.975)
    assert verdict.item() == RELABELLED
    assert weight.item() == 1


@pytest.mark.parametrize("epsilon", [0.49, 1.01, float("nan")])
def test_a_threshold_out_of_range_is_refused(epsilon: float) -> None:
    one = torch.ones(1, 1)
    with pytest.raises(InputError, match=r"method\.epsilon"):
        refine_labels(one, one, one, epsilon)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gradients", [False, True])
def test_arguments_stay_as_they_are_and_no_gradient_flows(dtype: torch.dtype, gradients: bool) -> None:
    arguments = torch.rand(3, 6, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    arguments[0] = arguments[0] > 0.5
    passed = [each.clone().requires_grad_(gradients) for each in arguments]
    results = refine_labels(*passed, 0.7)
    for result, expected in zip(results, refine_labels(*arguments, 0.7), strict=True):
        assert not result.requires_grad
        assert torch.equal(result, expected)
    for before, after in zip(arguments, passed, strict=True):
        assert torch.equal(before, after.detach())


def test_shapes_that_differ_are_refused() -> None:
    half = torch.full((4, 3), 0.5)
    with pytest.raises(InputError, match=r"p_clean: shape \(1, 3\) beside given labels of shape \(4, 3\)"):
        refine_labels(half > 0, half[:1], half, 0.9)
    with pytest.raises(InputError, match=r"confidence: shape \(4,\) beside given labels of shape \(4, 3\)"):
        refine_labels(half > 0, half, half[:, 0], 0.9)


@pytest.mark.parametrize("wrong", [math.nan, -0.01, 1.01])
def test_a_clean_probability_outside_0_to_1_is_refused(wrong: float) -> None:
    p_clean = torch.tensor([[0.5, wrong]])
    with pytest.raises(InputError, match=r"p_clean at index \(0, 1\): "):
        refine_labels(torch.ones(1, 2), p_clean, torch.full((1, 2), 0.5), 0.9)


def test_logits_in_place_of_confidences_are_refused_and_nan_relabels_nothing() -> None:
    given, p_clean = torch.tensor([[1, 0]]), torch.tensor([[0.2, 0.2]])
    with pytest.raises(InputError, match=r"confidence at index \(0, 1\): 3\.0\n"):
        refine_labels(given, p_clean, torch.tensor([[math.nan, 3.0]]), 0.9)
    _, verdict, weight = refine_labels(given, p_clean, torch.tensor([[math.nan, 0.99]]), 0.9)
    assert verdict.tolist() == [[AMBIGUOUS, RELABELLED]]
    assert weight[0].tolist() == pytest.approx([0.2, 1])


def test_given_labels_other_than_0_and_1_are_refused() -> None:
    half = torch.full((1, 2), 0.5)
    with pytest.raises(InputError, match=r"given label at index \(0, 1\): -1"):
        refine_labels(torch.tensor([[0, -1]]), half, half, 0.9)


def test_no_labels_have_no_verdicts() -> None:
    nothing = torch.empty(0, 3)
    assert [each.shape for each in refine_labels(nothing, nothing, nothing, 0.9)] == [(0, 3)] * 3
