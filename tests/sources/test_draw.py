from __future__ import annotations

import pandas as pd
import pytest

from bmix.data.label_lists import label_matrix
from bmix.data.manifest import COLUMNS, Manifest
from bmix.sources.draw import with_drawn_splits
from bmix.sources.stratify import stratified_splits


def manifest(splits: list[str], notes: dict[str, str] | None = None) -> Manifest:
    labels = [["cat"] if number % 2 else ["cat", "dog"] for number in range(len(splits))]
    rows = [
        [str(i), f"{i}.png", split, [] if split == "unlabelled" else own, [], ""]
        for i, (split, own) in enumerate(zip(splits, labels, strict=True))
    ]
    origins = pd.Index([f"row {i}" for i in range(len(rows))], name="origin")
    return Manifest(pd.DataFrame(rows, columns=COLUMNS, index=origins), ["cat", "dog"], notes or {})


def test_val_and_test_are_drawn_from_labelled_images_alone() -> None:
    before = manifest([*["train"] * 20, "unlabelled", *["train"] * 20])
    after = with_drawn_splits(before, seed=3)
    assert after.frame["split"].value_counts().to_dict() == {"train": 28, "test": 8, "val": 4, "unlabelled": 1}
    labelled = before.frame[before.frame["split"] == "train"]
    labels_NK = label_matrix(labelled["labels"], ["cat", "dog"])
    expected = stratified_splits(*labels_NK.nonzero(), labels_NK.shape, 3)
    assert after.frame["split"][labelled.index].tolist() == expected.tolist()
    assert after.notes["splits"] == "drawn for data.seed 3, stratified by the labels"
    assert before.frame["split"].nunique() == 2
    pd.testing.assert_frame_equal(after.frame.drop(columns="split"), before.frame.drop(columns="split"))
    assert with_drawn_splits(before, seed=4).frame["split"].tolist() != after.frame["split"].tolist()


def test_where_the_images_came_from_stays_told() -> None:
    after = with_drawn_splits(manifest(["train"] * 20, {"splits": "train from Train"}), seed=0)
    assert after.notes["splits"] == (
        "train from Train, from which val and test are drawn for data.seed 0, stratified by the labels"
    )


@pytest.mark.parametrize("splits", [["train", "val"], ["train", "test-night"], ["test"], ["unlabelled"]])
def test_data_with_a_split_to_measure_on_is_left_alone(splits: list[str]) -> None:
    before = manifest(splits)
    assert with_drawn_splits(before, 0) is before
