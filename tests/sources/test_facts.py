from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from bmix.data.label_lists import label_lists
from bmix.data.manifest import COLUMNS, Manifest
from bmix.figures.class_frequencies import class_frequencies
from bmix.sources.facts import facts, facts_table

CELLS = st.integers(1, 12).flatmap(lambda n: arrays(np.int8, (n, 3), elements=st.integers(-1, 1)))


def manifest_of(train: np.ndarray, val: np.ndarray | None = None) -> Manifest:
    """A manifest with these cells: 1 present, 0 absent, -1 ignored."""
    val = np.zeros((0, train.shape[1]), np.int8) if val is None else val
    cells, classes = np.concatenate([train, val]), [f"c{k}" for k in range(train.shape[1])]
    frame = pd.DataFrame(
        {"id": [str(n) for n in range(len(cells))], "split": ["train"] * len(train) + ["val"] * len(val)}
    )
    frame = frame.assign(path=frame["id"], digest="")
    frame["labels"] = label_lists(cells == 1, classes)
    frame["ignore"] = label_lists(cells == -1, classes)
    return Manifest(frame[COLUMNS], classes)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(CELLS)
def test_ratios_equal_equations_12_and_13_counted_by_hand(cells: np.ndarray) -> None:
    positives, negatives = [0, 0, 0], [0, 0, 0]
    for row in cells:
        for k, cell in enumerate(row):
            positives[k] += cell == 1
            negatives[k] += cell == 0
    found = facts(manifest_of(cells), many=3, medium=2)
    assert found["imbalance_ratio"] == (max(positives) / min(positives) if min(positives) else None)
    total = sum(positives)
    assert found["positive_negative_ratio"] == (sum(negatives) / total if total else None)
    assert found["labels_per_positive"] == ((sum(negatives) + total) / total if total else None)
    for k, name in enumerate(["c0", "c1", "c2"]):
        group = "many" if positives[k] >= 3 else "medium" if positives[k] >= 2 else "few"
        assert found["classes"][name]["group"] == group
        assert found["classes"][name]["positives"]["train"] == positives[k]
        assert name in found["groups"][group]
    json.dumps(found, allow_nan=False)


def test_facts_of_a_small_set() -> None:
    train = np.array([[1, 1, 0], [1, 0, -1], [1, 0, 1], [0, 0, 0]])
    found = facts(manifest_of(train, np.array([[0, 1, -1]])), many=3, medium=2)
    assert found["images"] == {"train": 4, "val": 1}
    assert found["classes"]["c2"] == {
        "group": "few",
        "positives": {"train": 1, "val": 0},
        "ignored": {"train": 1, "val": 1},
    }
    assert found["labels_per_image"]["train"] == {"mean": 1.25, "max": 2, "without_label": 0.25}
    assert found["imbalance_ratio"] == 3
    assert found["positive_negative_ratio"] == pytest.approx(6 / 5)


def test_unlabelled_images_are_counted_but_not_their_labels() -> None:
    manifest = manifest_of(np.array([[1]]), np.array([[0]]))
    manifest.frame.loc[1, "split"] = "unlabelled"
    found = facts(manifest, many=3, medium=2)
    assert found["images"] == {"train": 1, "unlabelled": 1}
    assert found["classes"]["c0"]["positives"] == {"train": 1}
    assert "unlabelled" in facts_table(found)


def test_the_table_can_be_read() -> None:
    train = np.array([[1, 1], [1, 0], [1, -1], [0, 0]])
    manifest = manifest_of(train, np.array([[0, 1]]))
    manifest.notes["splits"] = "drawn"
    found = facts(manifest, many=3, medium=2)
    found["membership"] = {"train": "0123456789abcdef", "val": "fedcba9876543210"}
    assert facts_table(found) == "\n".join(
        [
            "class             train   val  group",
            "c0                    3     0  many",
            "c1                    1     1  few",
            "",
            "images                4     1",
            "labels per image   1.00  1.00",
            "without a label   25.0%  0.0%",
            "",
            "imbalance ratio (eq. 12)         3.00",
            "negatives per positive (eq. 13)  0.75",
            "labels per positive              1.75",
            "ignored labels                   1",
            "membership of train                0123456789abcdef",
            "membership of val                  fedcba9876543210",
            "",
            "splits: drawn",
        ]
    )


def test_membership_tells_which_images_a_split_holds_whatever_their_order() -> None:
    manifest = manifest_of(np.array([[1], [1], [0]]), np.array([[1]]))
    before = facts(manifest, many=3, medium=2)["membership"]
    shuffled = Manifest(manifest.frame.iloc[[2, 3, 0, 1]].reset_index(drop=True), manifest.classes)
    assert facts(shuffled, many=3, medium=2)["membership"] == before
    edited = Manifest(manifest.frame.assign(digest=["", "", "ab", ""]), manifest.classes)
    after = facts(edited, many=3, medium=2)["membership"]
    assert after["train"] != before["train"]
    assert after["val"] == before["val"]
    assert all(len(digest) == 16 for digest in before.values())


@pytest.mark.slow
def test_the_picture_of_the_classes_has_equal_bytes_every_time(tmp_path: Path) -> None:
    many = np.triu(np.ones((130, 130), np.int8))
    for number, cells in enumerate((np.array([[1, 1, 0], [1, 0, 0]]), many)):
        found = facts(manifest_of(cells), many=60, medium=20)
        for name in ("a", "b"):
            class_frequencies(found, tmp_path / f"{number}{name}.png")
        assert (tmp_path / f"{number}a.png").read_bytes() == (tmp_path / f"{number}b.png").read_bytes()
        with Image.open(tmp_path / f"{number}a.png") as picture:
            assert picture.width >= 600
