from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.sources.label_cells.brackets import OPENING, parse_list

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('["cat", "dog"]', ["cat", "dog"]),
        ("['cat', 'dog',]", ["cat", "dog"]),
        ("['cat' 'dog']", ["cat", "dog"]),
        ("['cat'\n 'dog'\n 'owl']", ["cat", "dog", "owl"]),
        ("[b'cat' b'dog']", ["cat", "dog"]),
        ("('cat', 'dog')", ["cat", "dog"]),
        ("('cat',)", ["cat"]),
        ("{'cat', 'dog'}", ["cat", "dog"]),
        ("frozenset({'cat'})", ["cat"]),
        ("array(['cat', 'dog'], dtype=object)", ["cat", "dog"]),
        ("array(['cat'], dtype='<U3')", ["cat"]),
        ('["it\'s", "a, b"]', ["it's", "a, b"]),
        ("[]", []),
        (" ", []),
        ("[1, 0, 1]", [1.0, 0.0, 1.0]),
        ("[1 0 1]", [1.0, 0.0, 1.0]),
        ("[1. 0. -1.]", [1.0, 0.0, -1.0]),
        ("[True False]", [1.0, 0.0]),
        ("[np.str_('cat'), np.str_('dog')]", ["cat", "dog"]),
        ("[np.int64(1), np.int64(0)]", [1.0, 0.0]),
    ],
)
def test_lists_are_read_whoever_wrote_them(text: str, items: list[str] | list[float]) -> None:
    assert parse_list(text) == items
    assert re.search(OPENING, text) or not text.strip() or items == ["cat"]


@pytest.mark.parametrize(
    "text",
    [
        "['cat', 'dog' 'owl']", "['cat''dog']", "[cat dog]", "['cat' ... 'dog']", "['cat', 1]", "[['cat']]", "['cat'",
        "{'cat': 1}", "['cat',, 'dog']", "[__import__('os')]", '["\\ud800"]', "['\\ud800']", "[" * 100_000, "cat",
        "[b'\\xff']", "[np.str_('cat', 'dog']", '["cat", null]', "[1" + "0" * 400 + "]", "[1" + "0" * 5000 + "]",
    ],
)  # fmt: skip
def test_what_is_no_list_or_two_in_one_is_not_guessed(text: str) -> None:
    assert parse_list(text) is None


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.lists(TEXTS, max_size=5))
def test_what_python_and_numpy_write_comes_back(names: list[str]) -> None:
    assert parse_list(str(names)) == names
    assert parse_list(str(tuple(names))) == names
    if names:
        with np.printoptions(threshold=100, linewidth=20):
            assert parse_list(str(np.array(names, dtype=object))) == names


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="[](){}'\"\\,b1. \nae", max_size=12))
def test_any_text_gives_a_list_or_nothing(text: str) -> None:
    items = parse_list(text)
    assert items is None or all(isinstance(item, (str, float)) for item in items)
