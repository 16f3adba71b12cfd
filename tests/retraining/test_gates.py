"""What the gates refuse, and what they let pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bmix.data.manifest import Manifest
from bmix.params import RetrainParams, load_params
from bmix.retraining.bootstrap import Difference
from bmix.retraining.data_gate import judge_data, judge_noise
from bmix.retraining.facts import DataFacts, NoiseOfNew, data_changes, data_facts, noise_of_new
from bmix.retraining.findings import reason, refused, render
from bmix.retraining.model_gate import judge_model
from tests.helpers.tiny import REPOSITORY

LIMITS = load_params(REPOSITORY / "params.yaml").retrain


def manifest(images: int = 100, seed: int = 0, **rates: float) -> Manifest:
    """Images whose labels are drawn by the rate of each class; every fifth is in test."""
    rng = np.random.default_rng(seed)
    rates = rates or {"cat": 0.5, "dog": 0.3, "owl": 0.1}
    drawn_NK = rng.random((images, len(rates))) < list(rates.values())
    names = list(rates)
    return Manifest(
        pd.DataFrame(
            {
                "id": [f"{row}" for row in range(images)],
                "path": [f"{row}.jpg" for row in range(images)],
                "split": ["test" if row % 5 == 0 else "train" for row in range(images)],
                "labels": [[names[column] for column in np.flatnonzero(row)] for row in drawn_NK],
                "ignore": [[] for _ in range(images)],
                "digest": [f"{row:016x}" for row in range(images)],
            }
        ),
        names,
    )


def judged(before: Manifest, now: Manifest, limits: RetrainParams = LIMITS, **notes: str) -> list[str]:
    """What of the data is refused."""
    findings = judge_data(data_facts(before, {}), data_facts(now, notes), data_changes(before.frame, now.frame), limits)
    return [finding.what for finding in refused(findings)]


def with_rows(data: Manifest, **columns: Any) -> Manifest:
    return replace(data, frame=data.frame.assign(**columns))


def test_equal_data_pass_and_have_equal_facts_whatever_their_order() -> None:
    data = manifest()
    shuffled = replace(data, frame=data.frame.sample(frac=1, random_state=0))
    assert judged(data, shuffled) == []
    assert data_facts(data, {}) == data_facts(shuffled, {})
    assert DataFacts(**data_facts(data, {}).plain()) == data_facts(data, {})


def test_the_facts_tell_images_from_labels() -> None:
    data = manifest()
    facts = data_facts(data, {})
    relabelled = data_facts(with_rows(data, labels=[["cat"]] * 100), {})
    assert (relabelled.membership, relabelled.labels == facts.labels) == (facts.membership, False)
    edited = data_facts(with_rows(data, digest=["f" * 16, *data.frame["digest"][1:]]), {})
    assert (edited.membership == facts.membership, edited.labels) == (False, facts.labels)
    moved = data_facts(with_rows(data, split=["val", *data.frame["split"][1:]]), {})
    assert moved.membership != facts.membership


def test_a_class_that_vanished_is_refused_and_allowed_on_request() -> None:
    before = manifest()
    gone = [[name for name in row if name != "owl"] for row in before.frame["labels"]]
    now = replace(with_rows(before, labels=gone), classes=["cat", "dog"])
    assert judged(before, now) == ["classes"]
    assert judged(before, now, LIMITS.model_copy(update={"vanished": 1})) == []


def test_a_new_class_is_told_and_passes() -> None:
    before, now = manifest(cat=0.5, dog=0.3), manifest(cat=0.5, dog=0.3, owl=0.1)
    limits = LIMITS.model_copy(update={"relabelled": 1.0})
    findings = judge_data(data_facts(before, {}), data_facts(now, {}), data_changes(before.frame, now.frame), limits)
    assert refused(findings) == []
    assert '3 classes, "owl" new' in render(findings)


def test_a_rate_that_jumped_is_refused_unless_chance_explains_it() -> None:
    before = manifest(1000, cat=0.5, owl=0.02)
    # Other images, whose labels may differ from those of the first ones.
    now = with_rows(manifest(1000, seed=1, cat=0.5, owl=0.2), digest=[f"n{row}" for row in range(1000)])
    limits = LIMITS.model_copy(update={"shrink": 1.0})
    assert judged(before, now, limits) == ["share of images with a class"]
    few = manifest(50, cat=0.5, owl=0.04)
    some = with_rows(manifest(50, seed=2, cat=0.5, owl=0.1), digest=[f"n{row}" for row in range(50)])
    assert judged(few, some, limits) == []


def test_images_that_are_gone_copied_or_unusable_are_counted() -> None:
    data = manifest()
    assert judged(data, replace(data, frame=data.frame.iloc[:40])) == ["images that are gone"]
    assert judged(data, replace(data, frame=data.frame.iloc[:60])) == []
    copied = with_rows(data, digest=["0" * 16] * 10 + data.frame["digest"].tolist()[10:])
    assert "copies of other images" in judged(data, copied)
    assert judged(data, data, unreadable="5 of 105 images left out as unusable\n    a.jpg: empty") == [
        "unusable images"
    ]


def test_the_note_that_the_facts_count_unusable_images_by_is_the_one_that_verify_leaves() -> None:
    from bmix.sources.verify import _skipped

    assert data_facts(manifest(), {"unreadable": _skipped([("a", "is empty")], 3, 120)}).unreadable == 3 / 120


def test_shuffled_labels_are_refused() -> None:
    data = manifest(400)
    labels = [data.frame["labels"].iloc[row] for row in np.random.default_rng(0).permutation(400)]
    assert judged(data, with_rows(data, labels=labels)) == ["images with other labels"]


def test_changes_name_new_images_and_those_with_other_labels() -> None:
    before = manifest()
    labels = before.frame["labels"].tolist()
    labels[1], labels[5] = [*reversed(labels[1])], ["owl", "cat", "dog"]
    extra = with_rows(manifest(3), id=["x", "y", "z"], split=["train", "train", "test"], digest=["1", "2", "3"])
    now = pd.concat([before.frame.assign(labels=labels).iloc[1:], extra.frame])
    changes = data_changes(before.frame, now)
    assert (changes.added, changes.gone, changes.kept) == ({"x", "y", "z"}, 1, 99)
    assert changes.relabelled == 1 / 99
    # Image 5 is in test, and the order of the labels of image 1 means nothing.
    assert changes.suspects == {"x", "y"}


def quality(wrong: dict[str, float]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    noisy = {name: np.clip(share + rng.normal(0, 0.05, 60), 0, 1) for name, share in wrong.items()}
    return pd.DataFrame(
        {
            "id": [f"{name}{row}" for name, values in noisy.items() for row in range(len(values))],
            "split": "train",
            "given": 1,
            "p_present": [1 - value for values in noisy.values() for value in values],
        }
    )


def test_labels_of_new_images_are_held_against_the_others() -> None:
    suspects = frozenset(f"new{row}" for row in range(60))
    found = noise_of_new(quality({"old": 0.1, "new": 0.5}), suspects)
    assert found is not None
    assert found.new == pytest.approx(0.5, abs=0.03)
    assert found.kept == pytest.approx(0.1, abs=0.03)
    assert found.count == 60
    facts = data_facts(manifest(), {})
    assert [one.what for one in refused(judge_noise(facts, facts, found, LIMITS))] == [
        "wrong labels of new images, estimated"
    ]
    same = noise_of_new(quality({"old": 0.1, "new": 0.12}), suspects)
    assert refused(judge_noise(facts, facts, same, LIMITS)) == []
    assert noise_of_new(quality({"old": 0.1}), suspects) is None
    assert judge_noise(facts, facts, NoiseOfNew(0.9, 0.1, 5, 9.0), LIMITS) == []


def test_a_noise_estimate_that_rose_is_refused() -> None:
    estimate = {"splits": {"train": {"wrong_share": 0.31, "judged_classes": 3}}}
    now = data_facts(manifest(), {}, estimate)
    assert now.wrong == 0.31
    before = replace(now, wrong=0.2)
    assert reason(judge_noise(before, now, None, LIMITS)) == (
        "wrong labels, estimated: 31.0 %, before 20.0 %, limit +10.0 %"
    )
    assert judge_noise(replace(now, wrong=None), now, None, LIMITS) == []
    unjudged = {"splits": {"train": {"wrong_share": 0.0, "judged_classes": 0}}}
    assert data_facts(manifest(), {}, unjudged).wrong is None


def difference(mean: float, spread: float = 0.0) -> Difference:
    return Difference(0.5, 0.5 + mean, mean + spread * np.linspace(-1, 1, 101), 3)


def test_a_first_night_has_its_own_limits_alone() -> None:
    findings = judge_data(None, data_facts(manifest(), {}), None, LIMITS)
    assert [(finding.what, finding.passes) for finding in findings] == [
        ("unusable images", True),
        ("copies of other images", True),
    ]


def test_a_model_is_refused_if_it_probably_loses_more_than_it_may() -> None:
    def judge(**groups: Difference) -> list[str]:
        return [finding.what for finding in refused(judge_model({"today's test": groups}, LIMITS))]

    assert judge(all=difference(0.0), few=difference(0.0)) == []
    assert judge(all=difference(-0.02)) == ["mAP all, today's test"]
    assert judge(all=difference(-0.005, 0.03)) == []
    assert judge(all=difference(0.01), few=difference(-0.05, 0.01)) == ["mAP few, today's test"]
    strict = LIMITS.model_copy(update={"risk": 0.05})
    assert refused(judge_model({"own": {"all": difference(-0.005, 0.03)}}, strict))
