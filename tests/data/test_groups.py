from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bmix.data.groups import group_cuts


def test_numbers_stay_and_auto_cuts_thirds() -> None:
    positives = np.array([90, 60, 30, 20, 12, 6])
    assert group_cuts(positives, 1000, 200) == (1000, 200)
    many, medium = group_cuts(positives, "auto", "auto")
    assert [(positives >= many).sum(), ((positives < many) & (positives >= medium)).sum()] == [2, 2]


@given(st.lists(st.integers(0, 10_000), max_size=40))
def test_cuts_are_in_order_whatever_the_frequencies(positives: list[int]) -> None:
    many, medium = group_cuts(np.array(positives, dtype=int), "auto", "auto")
    assert many > medium >= 1
