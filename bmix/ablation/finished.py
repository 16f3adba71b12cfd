"""Whether a cell is finished, known without starting DVC: a mark beside its results names what they were made from."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from bmix.params import PLACES, Params
from bmix.pipeline.data_check import places_digest
from bmix.support.files import read_json, write_json
from bmix.workspace.locked import digest, file_digest
from bmix.workspace.pipeline_file import PIPELINE_FILE, declared, lasting_stages

MARK = Path(".bmix/cell.json")
_RESULTS = [Path(name) for name in ("metrics.json", "history.csv", "sampler.csv")]


def state_of(params: Params) -> dict[str, str]:
    """Digests of what a run of the pipeline with these params depends on: `params`, `code` and `data`.

    Code is what dvc.yaml lists, by content. Data are the inputs outside the project's code, by each file's path, size
    and time of change: files that were only touched make a cell count as unfinished, and DVC, which reads them, then
    restores it.
    """
    flat = params.flat()
    places = tuple(dict.fromkeys(str(flat[".".join(place)]) for place in PLACES))
    return {"params": digest(flat), "code": _code_digest(params.training.recipe), "data": _data_digest(places)}


def is_finished(folder: Path, state: dict[str, str]) -> bool:
    """Whether the results in a copy are whole and were made from this state."""
    mark = read_mark(folder)
    if mark is None or any(mark.get(key) != value for key, value in state.items()):
        return False
    paths = [folder / name for name in _RESULTS]
    return all(path.is_file() for path in paths) and mark.get("results") == file_digest(*paths)


def mark_finished(folder: Path, state: dict[str, str], seconds: float | None) -> None:
    """Note that the results in a copy belong to this state. seconds: how long the run took; None: it was restored."""
    known = (read_mark(folder) or {}).get("seconds")
    results = file_digest(*(folder / name for name in _RESULTS))
    write_json(folder / MARK, {**state, "results": results, "seconds": known if seconds is None else seconds})


def read_mark(folder: Path) -> dict[str, Any] | None:
    """The mark in a copy; None where there is none that can be read."""
    try:
        mark = read_json(folder / MARK)
    except (OSError, ValueError):
        return None
    return mark if isinstance(mark, dict) else None


def seconds_of(folder: Path) -> float | None:
    """How long the run in a copy took; None where that is not known."""
    seconds = (read_mark(folder) or {}).get("seconds")
    return float(seconds) if isinstance(seconds, (int, float)) else None


@cache
def _code_digest(recipe: str) -> str:
    named = {"training.recipe": recipe}
    stages = [declared(stage, named) for stage in lasting_stages()]
    code = sorted({file for stage in stages for place in stage.code for file in _files(place)})
    listed = [[[*map(str, stage.code)], stage.keys, stage.outputs] for stage in stages]
    return digest([PIPELINE_FILE.name, listed, [str(path) for path in code], file_digest(*code)])


@cache
def _data_digest(places: tuple[str, ...]) -> str:
    return places_digest(places)


def _files(place: Path) -> list[Path]:
    return list(place.rglob("*.py")) if place.is_dir() else [place]
