"""`python -m tests.chaos.mutations [--count N] [--seed S] [SUBJECT ...]`: damaged files, and what reading them came to.

A damaged file is either read, which is fine where the damage left it sound, or refused in words; a traceback is a fault
of bmix, told by its place. N: damaged files of each subject (200).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from bmix.support.errors import InputError
from tests.chaos.mutators import mutate
from tests.chaos.subjects import SUBJECTS, Subject

GUARD_SECONDS = 1800
LONGEST_MESSAGE = 3000
"""Characters of a refusal; what is longer prints a value whole."""


class StuckError(Exception):
    """Reading one file took longer than anything that is not stuck."""


@dataclass
class Tally:
    """What became of the damaged files of one subject; examples: a file's name and content for each place."""

    subject: str
    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    tracebacks: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    @property
    def mutations(self) -> int:
        """All files that were read."""
        return self.read + self.refused + sum(self.tracebacks.values())


def damage(subject: Subject, count: int, seed: int, longest: float = 3600.0) -> Tally:
    """Read `count` damaged files of a subject, each on its own, in a folder of their own.

    longest: seconds after which no further file is damaged.
    """
    rng = random.Random(f"{seed} {subject.name}")
    tally, started = Tally(subject.name), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), _quiet():
        files = subject.build()
        sound = {path: path.read_bytes() for path in files}
        subject.read()
        for _ in range(count):
            path = rng.choice(files)
            content = mutate(path, sound[path], rng)
            path.write_bytes(content)
            _read(subject, tally, path, content)
            path.write_bytes(sound[path])
            if time.monotonic() - started > longest:
                break
    tally.seconds = time.monotonic() - started
    return tally


def _read(subject: Subject, tally: Tally, path: Path, content: bytes) -> None:
    try:
        with _guard():
            subject.read()
    except (InputError, OSError) as error:
        if _told(error):
            tally.refused += 1
        else:
            _note(tally, error, path, content)
    except Exception as error:
        _note(tally, error, path, content)
    else:
        tally.read += 1


def _told(error: InputError | OSError) -> bool:
    """Whether the command would end with this error in words, of a length that can be read."""
    if isinstance(error, OSError):
        return error.strerror is not None
    return len(str(error)) <= LONGEST_MESSAGE


def _note(tally: Tally, error: BaseException, path: Path, content: bytes) -> None:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/bmix/" in frame.filename]
    last = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} at {last.filename.rpartition('/bmix/')[2]}:{last.lineno}"
    tally.tracebacks[place] += 1
    tally.examples.setdefault(place, (path.name, content))


@contextlib.contextmanager
def _guard() -> Iterator[None]:
    def stuck(_number: int, _frame: FrameType | None) -> None:
        raise StuckError

    before = signal.signal(signal.SIGALRM, stuck)
    signal.alarm(GUARD_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def report(tallies: list[Tally]) -> str:
    """A row for each subject, and the places of tracebacks."""
    rows = [f"{'subject':<26}{'damaged':>9}{'read':>7}{'refused':>9}{'tracebacks':>12}{'seconds':>9}"]
    for tally in tallies:
        faults = sum(tally.tracebacks.values())
        numbers = f"{tally.mutations:>9}{tally.read:>7}{tally.refused:>9}{faults:>12}{tally.seconds:>9.1f}"
        rows.append(f"{tally.subject:<26}{numbers}")
    total = Counter[str]()
    for tally in tallies:
        total.update(tally.tracebacks)
    read, refused = sum(tally.read for tally in tallies), sum(tally.refused for tally in tallies)
    damaged = sum(tally.mutations for tally in tallies)
    rows.append(f"{'all':<26}{damaged:>9}{read:>7}{refused:>9}{sum(total.values()):>12}")
    rows += [f"  {count:>5}  {place}" for place, count in total.most_common()]
    return "\n".join(rows)


def main() -> int:
    """Read the command line, damage, report; 1 where there was a traceback."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.mutations", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"of {', '.join(SUBJECTS)}")
    parser.add_argument("--count", type=int, default=200, metavar="N", help="damaged files of each (200)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the damage (0)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep a file for each place of a traceback")
    arguments = parser.parse_args()
    tallies = []
    for name in arguments.subjects or SUBJECTS:
        tallies.append(damage(SUBJECTS[name], arguments.count, arguments.seed))
        print(f"{name}: {sum(tallies[-1].tracebacks.values())} tracebacks", file=sys.stderr, flush=True)
        for place, (file, content) in tallies[-1].examples.items() if arguments.keep else ():
            kept = arguments.keep / f"{name} {place}".replace("/", "_").replace(os.sep, "_")
            kept.mkdir(parents=True, exist_ok=True)
            (kept / file).write_bytes(content)
    print(report(tallies))
    return int(any(tally.tracebacks for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
