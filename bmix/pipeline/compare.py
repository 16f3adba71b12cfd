"""Several recipes on the same data, each with several seeds, every run in its own copy of the project."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bmix.pipeline.projects import Project, open_project
from bmix.pipeline.repro import PipelineError, reproduce, stop_running
from bmix.pipeline.table import Measures, read_measures
from bmix.support.pace import Pace


@dataclass(frozen=True)
class Run:
    """One recipe with one seed; no seed means those of params.yaml."""

    recipe: str
    seed: int | None
    project: Project

    @property
    def title(self) -> str:
        """What the lines of this run start with."""
        return self.recipe if self.seed is None else f"{self.recipe} seed {self.seed}"


def plan_runs(recipes: Sequence[str], seeds: Sequence[int] | None, edits: list[str]) -> list[Run]:
    """A run for every recipe and seed, its input checked; a seed sets training.seed and noise.seed, data.seed stays."""
    runs = []
    every_seed: Sequence[int | None] = seeds or [None]
    for seed in every_seed:
        for recipe in recipes:
            seeded = [] if seed is None else [f"training.seed={seed}", f"noise.seed={seed}"]
            runs.append(Run(recipe, seed, open_project([*edits, f"training.recipe={recipe}", *seeded])))
    return runs


def run_all(runs: Sequence[Run], jobs: int, tell: Callable[[str], None] = print) -> tuple[list[Measures], list[str]]:
    """Bring every run up to date, `jobs` at a time; the measures in the order of `runs`, and the faults.

    The measures of a run that failed are empty. One run's failure does not stop the others.
    """

    def work(run: Run) -> Measures | PipelineError:
        def tell_titled(line: str) -> None:
            tell(f"[{run.title}] {line}" if line else line)

        try:
            reproduce(run.project.folder, tell=tell_titled, environment=run.project.environment)
            return read_measures(run.project.folder)
        except PipelineError as error:
            return error

    pool, pace = ThreadPoolExecutor(max_workers=jobs), Pace("compared", len(runs), unit="runs")
    results: list[Measures | PipelineError] = []
    try:
        for result in pool.map(work, runs):
            results.append(result)
            tell(str(pace.at(len(results))))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        stop_running()
        raise
    pool.shutdown()
    faults = [f"{run.title}: {end}" for run, end in zip(runs, results, strict=True) if isinstance(end, PipelineError)]
    return [{} if isinstance(end, PipelineError) else end for end in results], faults


def columns(runs: Sequence[Run], measures: Sequence[Measures]) -> dict[str, list[Measures]]:
    """The measures of the runs that came to an end, by recipe."""
    found: dict[str, list[Measures]] = {run.recipe: [] for run in runs}
    for run, values in zip(runs, measures, strict=True):
        if values:
            found[run.recipe].append(values)
    return found


def folders(runs: Sequence[Run]) -> str:
    """A line per run with its folder."""
    return "\n".join(f"{run.title} runs in {run.project.told}" for run in runs)
