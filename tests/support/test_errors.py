"""Messages stay readable whatever was read."""

from __future__ import annotations

import pickle

from bmix.support.errors import LONGEST_PART, InputError, quoted, shortened


def test_a_long_name_is_cut_and_counted() -> None:
    assert shortened("x" * 100) == "x" * 100
    assert shortened("x" * 10_000) == "x" * 100 + "… (10,000 characters)"
    assert quoted(["x" * 10_000, "a"]) == '"' + "x" * 100 + '… (10,000 characters)", "a"'


def test_no_part_of_a_message_is_endless() -> None:
    error = InputError("table.csv", f'class "{"x" * 10_000}"', "a class", "correct it")
    first, *others = str(error).splitlines()
    assert len(first) < LONGEST_PART + 100
    assert first.endswith(" characters)")
    assert others == ["  expected: a class", "  fix: correct it"]
    assert pickle.loads(pickle.dumps(error)).found == error.found
