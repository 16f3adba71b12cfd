from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from bmix.evaluation.top1 import top1
from bmix.support.errors import InputError


def test_shares_are_those_of_scikit_learn_where_a_class_has_no_image_too() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 4, 200)
    scores = rng.random((200, 5)) + np.eye(5)[true] * 0.4
    called = scores.argmax(axis=1)
    measured = top1(torch.from_numpy(scores), np.eye(5, dtype=np.int8)[true])
    assert measured.accuracy == pytest.approx(accuracy_score(true, called))
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert measured.class_accuracy == pytest.approx(balanced_accuracy_score(true, called))
    assert measured.macro_f1 == pytest.approx(f1_score(true, called, labels=range(4), average="macro"))
    content = measured.content()
    assert content["error"] == pytest.approx(1 - content["accuracy"])
    assert content["class_error"] == pytest.approx(1 - content["class_accuracy"])


def test_ignored_cells_are_absent_and_of_equal_scores_the_first_counts() -> None:
    measured = top1(np.zeros((2, 3)), np.array([[1, -1, -1], [0, 1, 0]]))
    assert (measured.accuracy, measured.class_accuracy) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("labels", "found"), [(np.array([[1, 0], [1, 1]]), "row 1 has 2 classes"), (np.zeros((0, 2)), "no image")]
)
def test_images_of_other_than_one_class_are_refused(labels: np.ndarray, found: str) -> None:
    with pytest.raises(InputError) as caught:
        top1(np.zeros(labels.shape), labels)
    assert caught.value.found == found
