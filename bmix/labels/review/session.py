"""A review: who is asked what, and what was answered, for several people at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from bmix.labels.answers import (
    ACCEPT,
    OTHER,
    REJECT,
    SKIP,
    UNDO,
    Answer,
    accepted,
    all_labels,
    append_answer,
    standing,
)
from bmix.labels.review.queue import Question
from bmix.support.errors import InputError

HELD_SECONDS = 600
"""How long a question that somebody sees is not asked of others."""


class Review:
    """The questions, and the file that the answers are added to; every method may be called by several threads."""

    def __init__(
        self,
        questions: Sequence[Question],
        path: Path,
        classes: Sequence[str],
        before: Iterable[Answer] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """before: the answers that are in the file."""
        self.questions, self.path = list(questions), path
        self._classes, self._clock, self._lock = set(classes), clock, Lock()
        self._answers = list(before)
        self._by_key = {question.key: question for question in self.questions}
        self._held: dict[int, tuple[str, float]] = {}

    def next_questions(self, reviewer: str, count: int = 2) -> list[Question]:
        """The next questions for somebody; the first is his for HELD_SECONDS. None when all are settled or held."""
        with self._lock:
            return self._next(reviewer, count)

    def answer(self, reviewer: str, number: int, kind: str, right: Sequence[str] = ()) -> list[Question]:
        """Note an answer, on the disk when this returns; the next questions. right: all labels of the image, of OTHER.

        InputError for an unknown question, answer or class.
        """
        with self._lock:
            if not 0 <= number < len(self.questions) or kind not in (ACCEPT, REJECT, OTHER, SKIP):
                raise InputError("review", f"answer {kind!r} to question {number}", "one that was asked", "reload")
            if unknown := [name for name in right if name not in self._classes]:
                raise InputError("review", f"no class {unknown[0]!r}", "a class of the data", "reload the page")
            question = self.questions[number]
            self._add(Answer(*question.key, kind, _cells(question, kind, right), reviewer, _now()))
            self._held.pop(number, None)
            return self._next(reviewer, 2)

    def undo(self, reviewer: str) -> list[Question]:
        """Take back the last answer of somebody, and ask again; if he gave none, the next questions."""
        with self._lock:
            held = [answer for answer in standing(self._answers) if answer.reviewer == reviewer]
            positions = {id(answer): position for position, answer in enumerate(self._answers)}
            last = max(held, key=lambda answer: positions[id(answer)], default=None)
            if last is None or last.key not in self._by_key:
                return self._next(reviewer, 2)
            self._add(Answer(*last.key, UNDO, {}, reviewer, _now()))
            again = self._by_key[last.key]
            self._held[again.number] = (reviewer, self._clock())
            return [again, *(own for own in self._next(reviewer, 2, hold=False) if own is not again)]

    def progress(self) -> tuple[int, int]:
        """How many questions are settled, and how many there are."""
        with self._lock:
            return len(self.questions) - len(self._open()), len(self.questions)

    def _open(self) -> list[Question]:
        held = standing(self._answers)
        settled = {answer.key for answer in held} | {(answer.id, name) for answer in held for name in answer.cells}
        return [question for question in self.questions if question.key not in settled]

    def _next(self, reviewer: str, count: int, hold: bool = True) -> list[Question]:
        now = self._clock()
        free = []
        for question in self._open():
            holder, since = self._held.get(question.number, (reviewer, now))
            if holder == reviewer or now - since > HELD_SECONDS:
                free.append(question)
                if len(free) == count:
                    break
        if free and hold:
            self._held[free[0].number] = (reviewer, now)
        return free

    def _add(self, answer: Answer) -> None:
        append_answer(self.path, answer)
        self._answers.append(answer)


def _cells(question: Question, kind: str, right: Sequence[str]) -> dict[str, int]:
    if kind == ACCEPT:
        return accepted(question.class_name, question.given, question.instead)
    if kind == REJECT:
        return {question.class_name: question.given}
    return all_labels(question.class_name, question.labels, right) if kind == OTHER else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
