from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, precision_recall_curve

from bmix.evaluation.metrics import average_precision, class_groups, mean_average_precision, precision_recall_curves
from bmix.support.errors import InputError
from tests.helpers import naive


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_equals_the_definition_with_ties_and_ignored_cells(data: st.DataObject) -> None:
    shape = (data.draw(st.integers(1, 25)), data.draw(st.integers(1, 4)))
    scores = data.draw(arrays(np.float64, shape, elements=st.sampled_from([-1.0, 0.0, 0.1, 0.25, 0.7, 1.0])))
    labels = data.draw(arrays(np.int8, shape, elements=st.sampled_from([-1, 0, 0, 1])))
    expected = [naive.average_precision(scores[:, k], labels[:, k]) for k in range(shape[1])]
    np.testing.assert_allclose(average_precision(scores, labels), expected, rtol=0, atol=1e-12)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(data=st.data(), dtype=st.sampled_from([np.float16, np.float32, np.float64]))
def test_equals_the_definition_on_any_finite_scores(data: st.DataObject, dtype: type) -> None:
    few = data.draw(arrays(dtype, 6, elements={"allow_nan": False, "allow_infinity": False}))
    images = data.draw(st.integers(1, 25))
    scores = few[data.draw(arrays(np.int8, (images, 2), elements=st.integers(0, 5)))]
    scores *= data.draw(arrays(dtype, (images, 2), elements=st.sampled_from([1, -1])))
    labels = data.draw(arrays(np.int8, (images, 2), elements=st.sampled_from([-1, 0, 0, 1])))
    expected = [naive.average_precision(scores[:, k], labels[:, k]) for k in range(2)]
    np.testing.assert_allclose(average_precision(scores, labels), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("decimals", [3, 12])
@pytest.mark.parametrize("scale", [0.5, 2.0, 20.0])
def test_equals_scikit_learn_on_a_long_tail_of_classes(scale: float, decimals: int) -> None:
    rng = np.random.default_rng(4)
    labels = (rng.random((5000, 8)) < np.geomspace(0.7, 0.001, 8)).astype(np.int64)
    labels[0] = 1
    # The larger the scale, the more scores lie together at 0 and at 1.
    logits = scale * (rng.standard_normal((5000, 8)) - 2 + 2 * labels)
    scores = (1 / (1 + np.exp(-logits))).round(decimals).astype(np.float32)
    expected = average_precision_score(labels, scores, average=None)
    np.testing.assert_allclose(average_precision(scores, labels), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(average_precision(scores.astype(np.float64) - 1, labels), expected, rtol=0, atol=1e-12)


def test_zero_and_minus_zero_are_equal_scores() -> None:
    scores: np.ndarray = np.array([[0.0], [-0.0], [-1.0], [-0.0]], dtype=np.float32)
    np.testing.assert_allclose(average_precision(scores, np.array([[0], [1], [0], [1]])), [2 / 3])


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float32])
def test_labels_of_any_type(dtype: type) -> None:
    rng = np.random.default_rng(5)
    scores, labels = rng.random((60, 3)), rng.integers(0, 2, (60, 3))
    np.testing.assert_array_equal(average_precision(scores, labels.astype(dtype)), average_precision(scores, labels))


@pytest.mark.parametrize("label", [2, -2, 0.5, 255, 2**40])
def test_other_labels_are_refused(label: float) -> None:
    with pytest.raises(InputError, match="labels, row 1, class 0"):
        average_precision(np.zeros((2, 1)), np.array([[0], [label]]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("decimals", [2, 12])
def test_equals_scikit_learn(dtype: type, decimals: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((700, 12)) < np.geomspace(0.5, 0.005, 12)
    labels[0] = True
    scores: np.ndarray = (labels * rng.random((700, 12)) + rng.random((700, 12))).round(decimals).astype(dtype)
    expected = average_precision_score(labels, scores, average=None)
    np.testing.assert_allclose(average_precision(scores, labels), expected, rtol=0, atol=1e-12)


def test_ignored_cells_equal_their_absence() -> None:
    rng = np.random.default_rng(1)
    scores, labels = rng.random((200, 5)).astype(np.float32), rng.integers(-1, 2, (200, 5))
    expected = [average_precision_score(labels[labels[:, k] >= 0, k], scores[labels[:, k] >= 0, k]) for k in range(5)]
    np.testing.assert_allclose(average_precision(scores, labels), expected, rtol=0, atol=1e-12)


def test_permuting_images_changes_nothing_and_permuting_classes_permutes() -> None:
    rng = np.random.default_rng(2)
    scores, labels = rng.random((90, 6)).round(2), rng.random((90, 6)) < 0.2
    rows, columns = rng.permutation(90), rng.permutation(6)
    whole = average_precision(scores, labels)
    np.testing.assert_array_equal(average_precision(scores[rows], labels[rows]), whole)
    np.testing.assert_array_equal(average_precision(scores[:, columns], labels[:, columns]), whole[columns])


def test_a_class_without_a_positive_is_nan_and_one_without_a_negative_is_one() -> None:
    labels = np.array([[0, 1, -1], [0, 1, 0], [0, 1, -1]])
    np.testing.assert_array_equal(average_precision(np.zeros((3, 3)), labels), [np.nan, 1.0, np.nan])
    np.testing.assert_array_equal(average_precision(np.zeros((0, 2)), np.zeros((0, 2), int)), [np.nan, np.nan])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_takes_tensors(dtype: torch.dtype) -> None:
    scores = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    labels = torch.arange(150).reshape(50, 3) % 4 == 0
    expected = average_precision(scores.detach().double().numpy(), labels.numpy())
    np.testing.assert_array_equal(average_precision(scores, labels), expected)


def test_refuses_bad_input() -> None:
    with pytest.raises(InputError, match=r"scores of shape \(3, 2\) beside labels of shape \(2, 3\)"):
        average_precision(np.zeros((3, 2)), np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"scores of shape \(3,\)"):
        average_precision(np.zeros(3), np.zeros(3))
    with pytest.raises(InputError, match="scores, row 1, class 0: nan"):
        average_precision(np.array([[0.0, 1.0], [np.nan, 0.0]]), np.zeros((2, 2)))
    with pytest.raises(InputError, match="labels, row 0, class 1: 2"):
        average_precision(np.zeros((1, 2)), np.array([[0, 2]]))


@pytest.mark.parametrize("scores", [[["0.5"], ["0.7"]], [[0.5 + 1j], [0.7]], [[None], [0.7]]])
def test_scores_that_are_no_real_numbers_are_refused(scores: list[list[object]]) -> None:
    with pytest.raises(InputError, match=r"scores: type .*\n.*real numbers"):
        average_precision(scores, [[0], [1]])


def test_labels_that_are_no_numbers_are_refused() -> None:
    for labels in ([["0"], ["1"]], [[0j], [1j]]):
        with pytest.raises(InputError, match=r"labels: type .*\n.*real numbers"):
            average_precision([[0.5], [0.7]], labels)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("classes", [1, 3])
def test_scores_and_labels_stay_as_they_are(dtype: torch.dtype, classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    scores_NK = torch.rand(40, classes, generator=generator).to(dtype)
    labels_NK = torch.randint(-1, 2, (40, classes), generator=generator, dtype=torch.int8)
    passed_NK, labels_too_NK = scores_NK.clone().requires_grad_(), labels_NK.clone()
    average_K = average_precision(passed_NK, labels_too_NK)
    precision_recall_curves(passed_NK, labels_too_NK, 20)
    assert torch.equal(passed_NK.detach(), scores_NK)
    assert torch.equal(labels_too_NK, labels_NK)
    assert average_K.tolist() == average_precision(scores_NK.double().numpy(), labels_NK.numpy()).tolist()


def test_means_over_groups_leave_out_and_count_unmeasured_classes() -> None:
    ap = np.array([0.9, 0.8, 0.6, np.nan, 0.2])
    means = mean_average_precision(ap, [20000, 10000, 1000, 999, 3])
    assert means["all"] == pytest.approx(0.625)
    assert means["many"] == pytest.approx(0.85)
    assert means["medium"] == pytest.approx(0.6)
    assert means["few"] == pytest.approx(0.2)
    assert means["left_out"] == 1
    assert means["classes"] == {"all": 4, "many": 2, "medium": 1, "few": 1}


def test_an_empty_group_is_none() -> None:
    assert mean_average_precision([0.5, 0.7], [50, 20], (30, 10))["few"] is None
    assert mean_average_precision([0.5, 0.7]) == {
        "all": pytest.approx(0.6), "many": None, "medium": None, "few": None,
        "classes": {"all": 2, "many": 0, "medium": 0, "few": 0}, "left_out": 0,
    }  # fmt: skip
    assert mean_average_precision([np.nan], [5])["all"] is None


def test_means_refuse_bad_input() -> None:
    with pytest.raises(InputError, match="one of each per class"):
        mean_average_precision([0.1, 0.2], [1, 2, 3])
    with pytest.raises(InputError, match="many above medium"):
        class_groups([1], (10, 10))


def test_full_curves_equal_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    scores, labels = rng.random((300, 3)).round(2), rng.random((300, 3)) < 0.3
    for k, (recall, precision) in enumerate(precision_recall_curves(scores, labels, points=1000)):
        precision_there, recall_there, _ = precision_recall_curve(labels[:, k], scores[:, k])
        # scikit-learn also lists thresholds at which no positive is gained; ours are where recall rises.
        rises = np.flatnonzero(np.diff(recall_there) < 0)
        np.testing.assert_allclose(recall, recall_there[rises][::-1], atol=1e-12)
        np.testing.assert_allclose(precision, precision_there[rises][::-1], atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(images=st.integers(1, 60), points=st.integers(10, 40), seed=st.integers(0, 100))
def test_curves_keep_to_their_number_of_points_and_end_at_recall_one(images: int, points: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.random((images, 4)).round(1), rng.integers(-1, 2, (images, 4))
    for k, (recall, precision) in enumerate(precision_recall_curves(scores, labels, points)):
        assert len(recall) == len(precision) <= points
        assert len(recall) == 0 if not (labels[:, k] == 1).any() else recall[-1] == 1
        assert (np.diff(recall) > 0).all()
        assert ((precision > 0) & (precision <= 1)).all()
