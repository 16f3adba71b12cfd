from __future__ import annotations

import pytest

from bmix.sources.split_map import parse_splits, refuse_unknown_parts
from bmix.support.errors import InputError


def test_auto_leaves_the_parts_to_the_source() -> None:
    assert parse_splits("auto") == {}
    assert parse_splits(" auto ") == {}


def test_parts_are_mapped_in_the_order_written() -> None:
    split_of = parse_splits("train=2007-trainval+2012-trainval  test=2007-test unlabelled=2012-test")
    assert list(split_of.items()) == [
        ("2007-trainval", "train"),
        ("2012-trainval", "train"),
        ("2007-test", "test"),
        ("2012-test", "unlabelled"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("train", '"train" has no "="'),
        ("trian=a", 'unknown split "trian"'),
        ("train=a+", 'an empty part in "train=a+"'),
        ("train=", 'an empty part in "train="'),
        ("train=a test=a", 'part "a" is named twice'),
    ],
)
def test_what_is_no_map_is_refused_with_its_words(text: str, found: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_splits(text)
    assert (caught.value.where, caught.value.found) == ("data.splits", found)


def test_a_split_that_is_nearly_right_is_named() -> None:
    with pytest.raises(InputError, match='Did you mean "train"'):
        parse_splits("trian=a")


def test_a_part_that_the_source_lacks_is_refused_with_those_it_has() -> None:
    refuse_unknown_parts({"val2014": "test"}, ["train2014", "val2014"], "annotations")
    with pytest.raises(InputError) as caught:
        refuse_unknown_parts({"val2015": "test"}, ["train2014", "val2014"], "annotations")
    assert caught.value.found == 'part "val2015" is not in annotations'
    assert caught.value.expected == 'one of "train2014", "val2014"'
    assert caught.value.remedy.endswith('Did you mean "val2014"?')
