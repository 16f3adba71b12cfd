from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.data.manifest import COLUMNS, FEATURES_FILE, Manifest
from bmix.sources.label_cells import Entries
from bmix.sources.repeated import Rows, merge_repeated, merge_repeated_rows
from bmix.support.errors import InputError

CLASSES = ["bird", "cat", "dog"]


def manifest(*rows: tuple[str, str, list[str], list[str]]) -> Manifest:
    """Rows of path, split, labels, ignore."""
    cells = [[f"id-{n}", path, split, labels, ignore, ""] for n, (path, split, labels, ignore) in enumerate(rows)]
    return Manifest(pd.DataFrame(cells, columns=COLUMNS), CLASSES)


def refusal(one: Manifest, join: bool = False) -> InputError:
    with pytest.raises(InputError) as caught:
        merge_repeated(one, "labels.csv", join)
    return caught.value


def test_a_row_per_label_becomes_a_row_per_image() -> None:
    merged = merge_repeated(
        manifest(
            ("a.jpg", "train", ["dog"], []), ("b.jpg", "val", [], []), ("./a.jpg", "train", ["bird"], []),
            ("a.jpg", "train", ["dog"], []), ("sub//c.jpg", "train", ["cat"], []), ("sub/c.jpg", "train", ["cat"], []),
        ),
        "labels.csv", join=False,
    )  # fmt: skip
    assert merged.frame["id"].tolist() == ["id-0", "id-1", "id-4"]
    assert merged.frame["labels"].tolist() == [["bird", "dog"], [], ["cat"]]
    assert merged.notes["repeated"] == "6 rows of 3 images: the labels of an image's rows are joined"


def test_nothing_changes_where_no_file_is_repeated_and_for_features() -> None:
    plain = manifest(("a.jpg", "train", ["dog"], []), ("b/a.jpg", "train", ["dog"], []))
    assert merge_repeated(plain, "labels.csv", join=False) is plain
    features = manifest((FEATURES_FILE, "train", ["dog"], []), (FEATURES_FILE, "train", ["cat"], []))
    assert merge_repeated(features, "set.npz", join=False) is features


def test_rows_that_say_the_same_become_one() -> None:
    twice = manifest(("a.jpg", "train", ["dog", "cat"], ["bird"]), ("a.jpg", "train", ["cat", "dog"], ["bird"]))
    merged = merge_repeated(twice, "labels.csv", join=False).frame
    assert merged["labels"].tolist() == [["cat", "dog"]]
    assert merged["ignore"].tolist() == [["bird"]]


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ((["cat", "dog"], []), (["bird"], []), '"a.jpg" with "bird", and with "cat", "dog" at labels.csv, row 1'),
        ((["cat"], []), ([], []), '"a.jpg" with no label, and with "cat" at labels.csv, row 1'),
        ((["cat"], ["dog"]), (["dog"], []), '"a.jpg" with "dog", and with "cat" at labels.csv, row 1'),
    ],
)
def test_rows_that_contradict_each_other_are_refused_unless_they_are_parts(
    first: tuple[list[str], list[str]], second: tuple[list[str], list[str]], found: str
) -> None:
    two = manifest(("a.jpg", "train", *first), ("b.jpg", "train", ["cat", "dog"], []), ("a.jpg", "train", *second))
    error = refusal(two)
    assert (error.where, error.found) == ("labels.csv, row 3", found)
    joined = merge_repeated(two, "labels.csv", join=True).frame
    assert joined["labels"].iloc[0] == sorted({*first[0], *second[0]})
    assert joined["ignore"].iloc[0] == [name for name in first[1] if name not in joined["labels"].iloc[0]]


@pytest.mark.parametrize("join", [False, True])
def test_an_image_in_two_splits_is_refused(join: bool) -> None:
    error = refusal(manifest(("a.jpg", "train", ["cat"], []), ("./a.jpg", "test", ["cat"], [])), join)
    assert error.where == "labels.csv, row 2"
    assert error.found == '"./a.jpg" in split test, and in split train at labels.csv, row 1'


LABELS = st.lists(st.sampled_from(CLASSES), max_size=3)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), LABELS, LABELS), min_size=1, max_size=10))
def test_joined_rows_equal_an_obvious_loop(cells: list[tuple[str, list[str], list[str]]]) -> None:
    frame = pd.DataFrame({"path": [path for path, _, _ in cells], "id": [str(n) for n in range(len(cells))]})
    labels, ignore = (Entries.of_lists([cell[column] for cell in cells]) for column in (1, 2))
    rows, _ = merge_repeated_rows(Rows(frame, labels, ignore), "labels.csv", "all")
    expected: dict[str, tuple[set[str], set[str]]] = {}
    for path, own, other in cells:
        shown, left = expected.setdefault(path, (set(), set()))
        shown.update(own)
        left.update(other)
    assert rows.frame["path"].tolist() == list(expected)
    assert rows.labels.lists(len(expected), CLASSES) == [sorted(shown) for shown, _ in expected.values()]
    if len(expected) < len(cells):
        assert rows.ignore.lists(len(expected), CLASSES) == [sorted(left - shown) for shown, left in expected.values()]
