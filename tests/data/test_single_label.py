from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bmix.data.manifest import Manifest
from bmix.data.single_label import check_one_class, check_one_given
from bmix.support.errors import InputError


def manifest(*labels: list[str], **columns: object) -> Manifest:
    splits = ["train"] * (len(labels) - 1) + ["unlabelled"]
    ids = [f"image-{row}" for row in range(len(labels))]
    return Manifest(pd.DataFrame({"id": ids, "split": splits, "labels": list(labels)} | columns), ["cat", "dog"])


def test_one_class_an_image_is_taken_and_unlabelled_images_need_none() -> None:
    check_one_class(manifest(["cat"], ["dog"], []), "labels.csv")
    check_one_given(np.eye(2, dtype=np.uint8), ["a", "b"], ["cat", "dog"])


def test_the_first_image_of_two_classes_is_named() -> None:
    with pytest.raises(InputError) as caught:
        check_one_class(manifest(["cat"], ["cat", "dog"], [], ["cat", "dog"], []), "labels.csv")
    fault = caught.value
    assert fault.where == "labels.csv, row 2, image image-1"
    assert fault.found == 'has 2 labels, "cat", "dog"; 3 images in all have other than one'
    assert fault.remedy == "give it one label, or set model.task to multi-label"


def test_an_image_of_no_class_is_named_with_the_setting_that_leaves_it_out() -> None:
    with pytest.raises(InputError) as caught:
        check_one_class(manifest(["cat"], [], []), "labels.csv")
    assert caught.value.found == "has no labels"
    assert "data.empty=drop" in caught.value.remedy


def test_true_labels_count_as_the_given_do() -> None:
    known = manifest(["cat"], ["dog"], [], true=[["cat"], ["cat", "dog"], []])
    with pytest.raises(InputError, match="has 2 true labels"):
        check_one_class(known, "labels.csv")


def test_labels_after_noise_are_refused_with_the_kinds_that_fit() -> None:
    with pytest.raises(InputError) as caught:
        check_one_given(np.array([[1, 0], [0, 0]]), ["a", "b"], ["cat", "dog"])
    assert caught.value.where == "data/noisy, image b"
    assert "noise.kind to none or mislabel" in caught.value.remedy
