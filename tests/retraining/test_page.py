"""The page of the nights."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmix.retraining.history import RESULTS, NightRecord
from bmix.retraining.page import page, write_page
from bmix.retraining.picture import moved_most
from bmix.support.errors import InputError


def night(number: int, **fields: object) -> NightRecord:
    return NightRecord(f"2026-01-{number:02d}T02:00:00.000+00:00", **fields)  # type: ignore[arg-type]


def test_the_page_tells_every_night_and_escapes_what_comes_from_data() -> None:
    nights = [
        night(number, result=result, reason=f"<b>{result}</b>", rates={"<i>cat": 0.1 * number}, wrong=0.01 * number)
        for number, result in enumerate(RESULTS, start=1)
    ]
    written = page(nights)
    assert "<b>" not in written
    for one in nights:
        assert f"&lt;b&gt;{one.result}&lt;/b&gt;" in written
        assert one.night[:10] in written
    assert written.index("2026-01-02") < written.index("2026-01-01")
    assert "http" not in written.replace("http-equiv", "")


def test_classes_are_drawn_that_moved_most() -> None:
    nights = [
        night(1, rates={"still": 0.5, "rose": 0.1, "gone": 0.2}),
        night(2),
        night(3, rates={"still": 0.4, "rose": 0.4, "gone": 0.0}),
    ]
    assert moved_most(nights) == ["gone", "rose", "still"]


def test_without_a_history_there_is_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="holds no night"):
        write_page(Path("nights.html"))
    assert not Path("nights.html").exists()
