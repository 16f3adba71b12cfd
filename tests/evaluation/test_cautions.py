"""Sentences of warning: each where it is due, and none where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bmix.evaluation.cautions import cautions, empty_groups, few_steps, learnt_by_heart, not_learnt
from tests.helpers.evaluation_example import make_example


def history(val_map: list[float], given_loss: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"epoch": range(1, len(val_map) + 1), "val_map": val_map, "given_loss": given_loss})


def test_labels_learnt_by_heart_are_told_with_both_signs() -> None:
    told = learnt_by_heart(history([0.5, 0.7, 0.6], [1.0, 0.5, 0.1]))
    assert told.startswith("The given labels are being learnt by heart: their loss fell to 0.10")
    assert "mAP on val fell from 70.0 (epoch 2) to 60.0" in told
    assert told.endswith("or try the recipe balancemix or audited.")
    assert "recipe" not in learnt_by_heart(history([0.5, 0.7, 0.6], [1.0, 0.5, 0.1]), "audited")
    assert learnt_by_heart(history([0.5, 0.7, 0.6], [1.0, 0.9, 0.8])).startswith("The mAP on val fell from 70.0")
    assert learnt_by_heart(history([0.5, 0.7, 0.69], [1.0, 0.5, 0.1])) == ""
    assert learnt_by_heart(history([float("nan")] * 3, [1.0, 0.5, 0.1])) == ""


def test_classes_that_are_not_learnt_are_named() -> None:
    rows = [
        (epoch, name, given, mean)
        for epoch in (3, 4)
        for name, mean in (("cat", 0.4), ("owl", 2.5))
        for given in (0, 1)
    ]
    mixtures = pd.DataFrame(rows, columns=["epoch", "class", "given", "mean_0"]).assign(degenerate=False)
    told = not_learnt(mixtures)
    assert "1 of 2 classes were not learnt when label management began" in told
    assert '"owl"' in told
    assert "training.warmup_epochs" in told
    assert told.endswith("or try the recipe audited.")
    assert not_learnt(mixtures, "audited").endswith(
        'network has no say about their labels: "owl". Raise training.warmup_epochs.'
    )
    assert not_learnt(mixtures.assign(mean_0=0.4)) == ""
    assert not_learnt(mixtures[:0]) == ""
    assert not_learnt(mixtures.assign(degenerate=True)) == ""


@pytest.mark.parametrize(("images", "batch", "told"), [(416, 64, "An epoch has 7 steps (416 images"), (640, 64, "")])
def test_few_steps_are_told(images: int, batch: int, told: str) -> None:
    assert few_steps(images, batch).startswith(told)
    assert bool(few_steps(images, batch)) == bool(told)


def test_the_recipe_audited_without_an_audit_is_told_of_two_networks() -> None:
    evaluation = make_example(images=300).evaluation()
    told = cautions(evaluation, 64, recipe="audited", audited=False)
    assert [sentence for sentence in told if "audit.features=network" in sentence] == told[-1:]
    for recipe, audited in (("audited", True), ("balancemix", False)):
        assert not any("audit.features" in each for each in cautions(evaluation, 64, recipe=recipe, audited=audited))


def test_images_learnt_from_nothing_are_told_of_frozen_features() -> None:
    evaluation = make_example(images=300).evaluation()
    told = [sentence for sentence in cautions(evaluation, 64, untrained=True) if "frozen features" in sentence]
    assert len(told) == 1
    assert "bmix embed --output" in told[0]
    assert not any("frozen features" in sentence for sentence in cautions(evaluation, 64))


def test_groups_of_a_third_each_are_suggested() -> None:
    positives = np.array([90, 60, 30, 20, 12, 6])
    told = empty_groups(positives, np.array(["few"] * 6), (1000, 200))
    assert told == (
        "No class has 200 training positives: all are few-shot. For groups of a third each: "
        "evaluate.many=auto evaluate.medium=auto, which are 40 and 17 here."
    )
    assert empty_groups(positives, np.array(["medium"] + ["few"] * 5), (1000, 90)) == ""
    assert empty_groups(np.full(6, 5), np.array(["few"] * 6), (1000, 200)) == ""


def test_a_run_is_told_all_that_applies() -> None:
    evaluation = make_example(images=300).evaluation()
    scarce = replace(evaluation, thresholds=(5000, 4000))
    assert any(sentence.startswith("No class has 4,000") for sentence in cautions(scarce, 16))
    assert any(sentence.startswith("An epoch has 5 steps") for sentence in cautions(evaluation, 64))
