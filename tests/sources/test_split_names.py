from __future__ import annotations

import pytest

from bmix.sources.split_names import split_named, splits_by_name
from bmix.support.errors import InputError

SAID = {
    "train": ["train", "Train", "TRAIN", "training", "train2017", "train_2014", "TRAIN_SET", "trainset", "train-data",
              "01_train", "images_train", "TrainImages", "Training Data", "train_annotations", "instances_train"],
    "val": ["val", "valid", "Valid", "validation", "Validation_Set", "val2017", "dev", "dev-set", "eval", "valset"],
    "test": ["test", "Testing", "testing_set", "test1", "holdout", "hold-out", "held_out", "TESTSET", "Test Images"],
    "unlabelled": ["unlabelled", "unlabeled", "Unlabeled2017", "unlabeled_data"],
    "test-night": ["test-night"],
}  # fmt: skip
UNSAID = [
    "cat",
    "trainer",
    "trains",
    "retrain",
    "validator",
    "test-NIGHT x",
    "tester",
    "set",
    "data",
    "",
    "2017",
    "images",
]
UNSAID += ["2017", "images", "contest", "default", "result", "постав", "猫"]


@pytest.mark.parametrize(("name", "split"), [(name, split) for split, names in SAID.items() for name in names])
def test_names_that_say_a_split(name: str, split: str) -> None:
    assert split_named(name) == split


@pytest.mark.parametrize("name", UNSAID)
def test_names_that_say_none(name: str) -> None:
    assert split_named(name) is None


def test_names_are_put_in_the_order_of_the_splits() -> None:
    assert splits_by_name(["cat", "Test", "Train", "unlabeled", "valid"], "here", "folders") == {
        "Train": "train", "valid": "val", "Test": "test", "unlabeled": "unlabelled",
    }  # fmt: skip
    assert splits_by_name(["cat"], "here", "folders") == {}


def test_two_names_of_one_split_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        splits_by_name(["train", "dev", "valid"], "here", "folders")
    error = caught.value
    assert (error.where, error.found) == ("here", 'the folders "dev", "valid" all say val')
    assert error.remedy == "say which to take, e.g. data.splits: val=dev, or val=dev+valid for all of them"
