from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from bmix.data.manifest import COLUMNS, FEATURES_FILE, Manifest
from bmix.sources.screening import drop_empty, noted_copies, screen_overlap, without_no_label
from bmix.support.errors import InputError


def manifest(*rows: tuple[str, str, list[str], str]) -> Manifest:
    """Rows of id, split, labels, digest."""
    frame = pd.DataFrame([[name, name, split, labels, [], digest] for name, split, labels, digest in rows])
    return Manifest(frame.set_axis(COLUMNS, axis=1), ["cat", "dog"], {"classes": "given"})


def test_images_without_a_label_are_left_out_and_counted_unless_they_are_unlabelled() -> None:
    kept = drop_empty(
        manifest(("a", "train", ["cat"], ""), ("b", "val", [], ""), ("c", "unlabelled", [], ""), ("d", "train", [], ""))
    )
    assert kept.frame["id"].tolist() == ["a", "c"]
    assert kept.notes == {"classes": "given", "empty": "2 images without a label left out"}


def test_a_class_that_means_no_label_is_none() -> None:
    named = manifest(("a", "train", ["cat"], ""), ("b", "train", ["dog"], ""), ("c", "val", ["cat"], ""))
    assert without_no_label(named, "auto", "pets") is named
    found = without_no_label(named, "Cat", "pets")
    assert found.classes == ["dog"]
    assert found.frame["labels"].tolist() == [[], ["dog"], []]
    assert found.notes["no label"] == '2 images with "cat"'
    with pytest.raises(InputError, match=r'data\.no_label: no class is called "cot"(.|\n)*Did you mean "cat"'):
        without_no_label(named, "cot", "pets")
    with pytest.raises(InputError, match='pets, row 1: "cat", "dog" on one image'):
        without_no_label(manifest(("a", "train", ["cat", "dog"], "")), "cat", "pets")


def test_nothing_is_said_where_every_image_has_a_label() -> None:
    full = manifest(("a", "train", ["cat"], ""))
    assert drop_empty(full) is full


def test_equal_bytes_in_one_split_are_no_overlap() -> None:
    repeated = manifest(("a", "train", ["cat"], "1"), ("b", "train", ["dog"], "1"), ("c", "val", [], "2"))
    assert screen_overlap(repeated, "labels.csv", "refuse") is repeated


def test_copies_with_other_labels_in_one_split_are_told() -> None:
    rows = [
        ("a", "train", ["cat"], "1"),
        ("b", "train", ["cat"], "1"),
        ("c", "train", ["cat", "dog"], "1"),
        ("d", "train", ["cat"], "2"),
        ("e", "train", ["cat"], "2"),
        ("f", "val", ["dog"], "2"),
        ("g", "unlabelled", [], "3"),
        ("h", "unlabelled", ["cat"], "3"),
        ("i", "val", ["cat"], ""),
        ("j", "val", ["dog"], ""),
    ]
    assert noted_copies(manifest(*rows)).notes["copies"] == (
        '3 images have the bytes of another image of their split, and other labels, e.g. "a" and "c"'
    )
    without = manifest(*rows[:2], *rows[3:])
    assert noted_copies(without) is without


def test_images_that_were_not_looked_at_are_passed_over() -> None:
    unknown = manifest(("a", "train", ["cat"], ""), ("b", "val", ["dog"], ""))
    assert screen_overlap(unknown, "labels.csv", "refuse") is unknown


def test_equal_bytes_in_two_splits_are_refused_by_name() -> None:
    overlapping = manifest(
        ("a", "train", ["cat"], "1"),
        ("b", "train", ["cat"], "1"),
        ("c", "test", ["cat"], "1"),
        ("d", "val", [], "2"),
        ("e", "unlabelled", [], "2"),
    )
    with pytest.raises(InputError) as caught:
        screen_overlap(overlapping, "labels.csv", "refuse")
    assert caught.value.found == (
        "2 images are in more than one split\n"
        '    "a" (train, labels.csv, row 1) and "c" (test, labels.csv, row 3)\n'
        '    "d" (val, labels.csv, row 4) and "e" (unlabelled, labels.csv, row 5)'
    )
    assert "data.overlap to warn" in caught.value.remedy


def test_a_warning_is_told_and_noted(capsys: pytest.CaptureFixture[str]) -> None:
    overlapping = manifest(("a", "train", ["cat"], "1"), ("c", "test", ["cat"], "1"))
    kept = screen_overlap(overlapping, "labels.csv", "warn")
    assert kept.frame is overlapping.frame
    assert kept.notes["overlap"] == "one image is in more than one split"
    assert 'warning: labels.csv: one image is in more than one split, e.g. "a" (train' in capsys.readouterr().err


def test_what_is_no_image_is_not_called_one() -> None:
    overlapping = manifest(("a", "train", ["cat"], "1"), ("c", "test", ["cat"], "1"))
    features = replace(overlapping, frame=overlapping.frame.assign(path=FEATURES_FILE))
    with pytest.raises(InputError) as caught:
        screen_overlap(features, "features.npz", "refuse")
    assert caught.value.found.startswith("one row is in more than one split\n")
    assert caught.value.expected.startswith("every row in one split only")
