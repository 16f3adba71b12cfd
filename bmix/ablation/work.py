"""Bringing cells up to date: what is finished already, what one cell does, and how long the rest will take."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from bmix.ablation.cells import Cell
from bmix.ablation.finished import is_finished, mark_finished, seconds_of, state_of
from bmix.pipeline.checks import check_inputs
from bmix.pipeline.projects import open_copy
from bmix.pipeline.repro import reproduce
from bmix.support.errors import InputError
from bmix.workspace.locked import digest

Tell = Callable[[str], None]
_LONG_MINUTES = 90


@dataclass(frozen=True)
class Plan:
    """The cells of a table, by what is to be done: finished ones, and those to be run with the state they start from.

    Of cells with equal params only the first is run; `cells` are all of them.
    """

    cells: list[Cell]
    finished: list[Cell]
    missing: list[Cell]

    @property
    def seconds(self) -> float | None:
        """How long a missing cell takes, judged by the finished ones; None where none has told."""
        known = [seconds for cell in self.finished if (seconds := seconds_of(cell.folder)) is not None]
        return statistics.fmean(known) if known else None

    def told(self, jobs: int) -> str:
        """How many cells there are, how many are finished, and how long the others take."""
        cells = "1 cell" if len(self.cells) == 1 else f"{len(self.cells)} cells"
        line = f"{cells}, {len(self.finished)} finished, {len(self.missing)} to run"
        if not self.missing:
            return line
        if self.seconds is None:
            return f"{line}; how long that takes shows when the first has ended"
        return f"{line}, about {duration(self.seconds * len(self.missing) / jobs)} at {jobs} at a time"


def plan(cells: Sequence[Cell]) -> Plan:
    """What is finished and what is not; nothing is started, and no more is read than small files."""
    distinct = {cell.folder: cell for cell in reversed(cells)}
    ordered = [cell for cell in cells if distinct[cell.folder] is cell]
    finished = [cell for cell in ordered if is_finished(cell.folder, state_of(cell.params))]
    return Plan(list(cells), finished, [cell for cell in ordered if cell not in finished])


def refused(cells: Iterable[Cell]) -> dict[str, InputError]:
    """By title the cells whose data or settings a stage would refuse, with the reason."""
    reasons: dict[str, InputError] = {}
    seen: dict[str, InputError | None] = {}
    for cell in cells:
        key = _checked_key(cell)
        if key not in seen:
            try:
                check_inputs(cell.params)
                seen[key] = None
            except InputError as error:
                seen[key] = error
        if (fault := seen[key]) is not None:
            reasons[cell.title] = fault
    return reasons


def run_cell(cell: Cell, tell: Tell) -> float:
    """Bring one cell up to date in its copy of the project and mark it; the seconds that it took.

    PipelineError if a stage or DVC failed, OSError if the copy could not be made.
    """
    started, state = time.monotonic(), state_of(cell.params)
    project = open_copy(cell.folder, cell.params, cell.content)
    states = reproduce(project.folder, tell=tell, environment=project.environment)
    seconds = round(time.monotonic() - started, 1)
    mark_finished(cell.folder, state, seconds if states.get("train") == "ran" else None)
    return seconds


def prepare_data(cell: Cell, tell: Tell) -> None:
    """The stage prepare alone, which many cells share and none should wait for another to do. PipelineError."""
    project = open_copy(cell.folder, cell.params, cell.content)
    reproduce(project.folder, "prepare", tell, project.environment)


def leaders(cells: Sequence[Cell], stage: str) -> dict[str, Cell]:
    """By the key of a stage the first cell that has it: the others find that stage's outputs in DVC's cache."""
    first: dict[str, Cell] = {}
    for cell in cells:
        first.setdefault(cell.key_of(stage), cell)
    return first


@dataclass
class Progress:
    """Counts cells as they end, from any thread, and says how many are left and how long they take.

    stopped: no further cell is to be begun.
    """

    total: int
    jobs: int
    tell: Tell
    stopped: bool = False
    _seconds: list[float] = field(default_factory=list)
    _failed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ended(self, title: str, seconds: float | None) -> None:
        """One cell ended, after `seconds`; None: it failed."""
        with self._lock:
            if seconds is None:
                self._failed += 1
            else:
                self._seconds.append(seconds)
            done = len(self._seconds) + self._failed
            failed = f", {self._failed} failed" if self._failed else ""
            how = "failed" if seconds is None else f"took {duration(seconds)}"
            left = self.total - done
            about = ""
            if left and self._seconds:
                about = f", about {duration(statistics.fmean(self._seconds) * left / min(self.jobs, left))} left"
            self.tell(f"{title} {how}; {done} of {self.total} cells{failed}{about}")


def duration(seconds: float) -> str:
    """A duration for people: 40 s, 12 min, 3.5 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 60 * _LONG_MINUTES else f"{seconds / 3600:.1f} h"


def _checked_key(cell: Cell) -> str:
    params = cell.params
    recipe = [params.training.recipe, params.recipes.get(params.training.recipe, {})]
    sections = [params.data, params.noise.model_copy(update={"seed": 0}), params.model]
    return digest([*(section.model_dump() for section in sections), params.evaluate.split, recipe])
