"""A few damaged files of everything that is read; `python -m tests.chaos.mutations` reads as many as one likes."""

from __future__ import annotations

import pytest

from tests.chaos.mutations import damage, report
from tests.chaos.subjects import SUBJECTS

COUNT, SLOW_COUNT = 20, 4


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_damaged_file_is_read_or_refused_in_words(name: str) -> None:
    subject = SUBJECTS[name]
    tally = damage(subject, SLOW_COUNT if subject.slow else COUNT, seed=1)
    assert not tally.tracebacks, report([tally])
    # Damage that nothing notices would be none.
    assert tally.refused or name == "another run's identity"
