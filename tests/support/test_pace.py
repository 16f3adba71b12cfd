from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest

from bmix.cli.show import Lines
from bmix.support import bars, pace
from bmix.support.pace import EVERY, Pace, Told, duration, read_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    monkeypatch.delenv(EVERY, raising=False)
    return clock


@contextmanager
def terminal(kind: str = "xterm") -> Iterator[Terminal]:
    """What is drawn on the terminal that stdout and stderr are meanwhile."""
    screen = Terminal()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(screen), redirect_stderr(screen):
        for name, value in (("TERM", kind), ("COLUMNS", "100"), (EVERY, "")):
            patch.setenv(name, value)
        patch.delenv("NO_COLOR", raising=False)
        yield screen


def test_without_a_terminal_a_line_is_printed_every_few_seconds(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Pace("verified", 100) as meter:
        for count in range(10, 101, 10):
            clock.now += 2.0
            meter.tell(count)
    assert capsys.readouterr().err.splitlines() == [
        "verified 30 of 100 images, about 14 s left",
        "verified 60 of 100 images, about 8 s left",
        "verified 90 of 100 images, about 2 s left",
        "verified 100 of 100 images, about 0 s left",
    ]


def test_what_takes_no_time_is_not_told(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Pace("verified", 100) as meter:
        for count in range(101):
            meter.tell(count)
    assert capsys.readouterr().err == ""


def test_resumed_work_is_judged_by_what_was_done_since(clock: Clock) -> None:
    meter = Pace("trained", 100, start=80, unit="steps")
    clock.now += 10
    assert meter.at(90) == Told("trained", 90, 100, "steps", "10 s")


def test_other_seconds_between_lines(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EVERY, "0.5")
    meter = Pace("trained", 10, unit="steps", seconds=20)
    clock.now += 1
    meter.tell(5)
    assert capsys.readouterr().err == "trained 5 of 10 steps, about 1 s left\n"


def test_a_line_is_read_as_it_was_written() -> None:
    told = Told("verified", 320, 5011, "images", "12 s")
    assert read_line(str(told)) == told
    for line in ("", "Running stage 'train':", "epoch 1/6 warmup  loss 5.0719", "verified 3 of many images"):
        assert read_line(line) is None


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0, 299.4, 300, 5400)] == ["0 s", "299 s", "5 min", "90 min"]


def test_on_a_terminal_a_bar_is_drawn_and_removed(clock: Clock) -> None:
    with terminal() as screen, Pace("verified", 100) as meter:
        clock.now += 2.0
        meter.tell(50)
        print("something else")
    drawn = screen.getvalue()
    assert "something else" in drawn
    assert "verified" in drawn
    assert "50 of 100 images" in drawn
    assert "about 2 s left" in drawn
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l"), "the cursor stays hidden"


def test_the_bar_of_work_that_failed_is_removed(clock: Clock) -> None:
    def work() -> None:
        with Pace("verified", 100) as meter:
            meter.tell(50)
            raise KeyError

    with terminal() as screen, pytest.raises(KeyError):
        work()
    drawn = screen.getvalue()
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("50 of 100 images")
    assert bars._bars()._progress is None


def test_a_dumb_terminal_gets_lines(clock: Clock) -> None:
    with terminal("dumb") as screen, Pace("verified", 100) as meter:
        clock.now += 5.0
        meter.tell(50)
    assert screen.getvalue() == "verified 50 of 100 images, about 5 s left\n"


def test_lines_of_stages_become_bars_on_a_terminal() -> None:
    with terminal() as screen, Lines() as lines:
        lines.tell("[bce seed 0] trained 5 of 10 steps, about 9 s left")
        lines.tell("[mixup] trained 7 of 10 steps, about 8 s left")
        lines.tell("[bce seed 0] epoch 1/2 plain")
        assert lines._shown == {("bce seed 0", "trained"), ("mixup", "trained")}
        lines.tell("[bce seed 0] Running stage 'evaluate':")
        assert lines._shown == {("mixup", "trained")}
        lines.tell("[mixup] trained 10 of 10 steps, about 0 s left")
        assert lines._shown == set()
    drawn = screen.getvalue()
    assert "bce seed 0 trained" in drawn
    assert "5 of 10 steps" in drawn
    assert "[bce seed 0] epoch 1/2 plain" in drawn
    assert "steps, about" not in drawn


def test_lines_of_stages_are_printed_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    told = ["Running stage 'train':", "trained 5 of 10 steps, about 9 s left", "two\nlines"]
    with Lines() as lines:
        for line in told:
            lines.tell(line)
    assert capsys.readouterr().out == "".join(f"{line}\n" for line in told)
